// L'autre moitié de stage.py, dans le navigateur : y peindre ce qui bouge, et dire à un lecteur d'écran ce qui se passe.
//
// Une image (`frame`) : parts, ce que chaque artiste devient, par gid ; status, la ligne d'état ; et, pour un
// entraînement, key, les commandes ; name, ce qui a été entraîné ; done, vrai s'il est achevé ; span, ses époques ;
// labels, ses noms pour la légende ; challenge, [relevé ou non, texte]. Un artiste de gid « ghost-x » montre l'artiste
// « x » de l'image précédente, un artiste « pin1-x » celui de la première image épinglée.
const FIGURE = "Figure ; le texte qui la suit dit ce qu'elle montre.";
const DEAD = 'Le noyau ne répond plus : exécutez la cellule pour continuer.';
const ROLES = { valid: 'validation : ', ghost: 'précédente : ', pin1: 'épinglée : ', pin2: 'épinglée : ', pin3: 'épinglée : ' };
let count = 0;

function put(element, attribute, text) {
    if (text && element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}

function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

// Les points d'un artiste, dans la largeur des époques de l'image où il se peint.
function points({ points: view }, ratio) {
    const xy = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    if (ratio !== 1) for (let i = 2; i < xy.length; i += 2) xy[i] = xy[0] + (xy[i] - xy[0]) * ratio;
    return xy;
}

function outline(xy) {
    let d = '', pen = 'M';
    for (let i = 0; i < xy.length; i += 2) {
        if (Number.isNaN(xy[i] + xy[i + 1])) { pen = 'M'; continue; }
        d += pen + xy[i].toFixed(2) + ' ' + xy[i + 1].toFixed(2);
        pen = 'L';
    }
    return d;
}

function mark(group, xy) {
    const uses = [...group.querySelectorAll('use')];
    while (uses.length && uses.length < xy.length / 2) uses.push(uses[0].parentNode.appendChild(uses[0].cloneNode()));
    uses.forEach((use, k) => {
        const shown = Number.isFinite(xy[2 * k] + xy[2 * k + 1]);
        use.style.display = shown ? '' : 'none';
        if (shown) { use.setAttribute('x', xy[2 * k]); use.setAttribute('y', xy[2 * k + 1]); }
    });
}

function paintImage(image, view) {
    const old = image.getAttribute('href');
    image.setAttribute('href', URL.createObjectURL(new Blob([view], { type: 'image/png' })));
    image.setAttribute('preserveAspectRatio', 'none');
    if (old?.startsWith('blob:')) URL.revokeObjectURL(old);
}

// Donne à l'artiste dessiné dans `group` ce que `part` en dit ; sans `part`, le cache.
function move(group, part, ratio = 1) {
    group.style.display = part && part.shown !== false ? '' : 'none';
    if (part?.points) {
        const xy = points(part, ratio);
        group.querySelector(':scope > path')?.setAttribute('d', outline(xy));
        mark(group, xy);
    }
    if (part?.image) paintImage(group, part.image);
    if (part?.text !== undefined) {
        const lines = part.text.split('\n');
        group.querySelectorAll('text').forEach((line, k) => write(line, lines[k] ?? ''));
        group.setAttribute('transform', `translate(${part.shift})`);
    }
}

// Le nom et la valeur des curseurs d'ipywidgets, qui n'en disent rien ; le texte des images qui n'en ont pas.
function describe(root) {
    for (const handle of root.querySelectorAll('.noUi-handle')) {
        const slider = handle.closest('.jupyter-widgets');
        put(handle, 'aria-label', slider.querySelector('.widget-label')?.textContent);
        put(handle, 'aria-valuetext', slider.querySelector('.widget-readout')?.textContent);
    }
    for (const image of root.querySelectorAll('img')) put(image, 'alt', FIGURE);
}

// Décrit les commandes de la démonstration où `el` se trouve, et ce qu'elles deviennent ; rend de quoi s'arrêter.
function watch(el) {
    let ended = false;
    const observer = new MutationObserver(() => describe(observer.root));
    (function attach() {  // la boîte n'existe dans la page qu'après ses enfants
        observer.root = el.closest('.toylib-explorer, .widget-interact');
        if (!observer.root) return ended || requestAnimationFrame(attach);
        describe(observer.root);
        observer.observe(observer.root, { subtree: true, childList: true, attributeFilter: ['aria-valuetext'] });
    })();
    return () => { ended = true; observer.disconnect(); };
}

// Le nom de chaque entraînement peint : son taux, son optimiseur, et ce qui d'autre les distingue.
function names(runs) {
    const fields = [...new Set(runs.flatMap(run => Object.keys(run.labels)))];
    const told = fields.filter(k => k === 'lr' || k === 'optimizer' || new Set(runs.map(run => run.labels[k])).size > 1);
    return runs.map(run => told.map(k => run.labels[k]).filter(text => text).join(', '));
}

async function render({ model, el }) {
    const id = `toylib${++count}-`, group = gid => el.querySelector(`[id="${id}${gid}"]`);
    const stop = watch(el);
    el.classList.add('toylib-stage');
    el.innerHTML = '<div class="toylib-figures"></div><div class="toylib-legend"></div>'
        + '<div class="toylib-status" role="status"></div><div class="toylib-challenge" role="status"></div>';
    const [figures, legend, status, challenge] = el.children;
    const controls = await Promise.all(model.get('controls').map(one => model.widget_manager.get_model(one)));
    const key = () => controls.map(one => one.get('index') ?? one.get('value')).join();
    let last = null, ghost = null, twins = [];

    function build() {
        figures.innerHTML = model.get('figures').join('').replace(/(\bid="|url\(#|href="#)/g, `$1${id}`);
        el.style.setProperty('--columns', [0, 1, 2, 3][figures.children.length] ?? 2);
        el.style.setProperty('--font', `${model.get('font')}px`);
        twins = [...el.querySelectorAll('g[id]')].map(one => one.id.slice(id.length).match(/^(ghost|pin\d)-(.+)/)).filter(one => one);
    }

    // La légende : ce qui est peint, dont la courbe de l'artiste `main` est l'échantillon.
    function explain(frame, others, main) {
        const twin = Object.entries(others).map(([role, run]) => [run, role, `${role}-${main}`]);
        const runs = [[frame, '', main], [frame, 'valid', `valid_${main}`], ...twin]
            .filter(([, role, gid]) => !role || group(gid) && group(gid).style.display !== 'none');
        const texts = names(runs.map(([run]) => run));
        legend.replaceChildren(...runs.map(([, role, sample], k) => {
            const entry = document.createElement('span'), style = sample && group(sample)?.querySelector('path').getAttribute('style');
            if (style) entry.innerHTML = `<svg width="46" height="12" aria-hidden="true"><path d="M0 6H40" style="${style}"/></svg>`;
            entry.append((ROLES[role] ?? '') + texts[k]);
            return entry;
        }));
    }

    // Peint une image ; l'image achevée d'avant devient le fantôme.
    function show(frame) {
        if (frame.parts) {
            const before = last && last.name !== frame.name ? last : ghost;
            const others = { ghost: before };
            model.get('pins').forEach((pin, k) => { others[`pin${k + 1}`] = pin; });
            for (const [gid, part] of Object.entries(frame.parts)) { const one = group(gid); if (one) move(one, part); }
            for (const [gid, role, of] of twins) {
                const run = others[role];
                move(group(gid), run?.parts[of], run ? run.span / frame.span : 1);
            }
            if (frame.labels) explain(frame, others, twins[0]?.[2]);
            if (frame.done) { last = frame; ghost = before; }
        }
        write(status, frame.status ?? '');
        write(challenge, frame.challenge?.[1] ?? '');
        challenge.classList.toggle('toylib-met', !!frame.challenge?.[0]);
    }

    // Ce que le navigateur sait des commandes de l'instant passe avant ce que le noyau en dit.
    const known = () => model.get('recall').find(frame => frame.key === key());
    const receive = () => { const frame = model.get('frame'); show(frame.parts ? known() ?? frame : frame); };
    function recall() {  // l'image que l'on voit déjà garde sa ligne d'état
        const frame = known();
        if (frame) show(frame.key === last?.key ? { ...frame, status: last.status } : frame);
    }
    const again = () => { build(); receive(); recall(); };
    const dead = () => write(status, DEAD);
    const events = { 'change:figures': again, 'change:frame': receive, 'change:pins': again, 'change:recall': recall, comm_live_update: dead };
    function listen(verb) {
        for (const [name, action] of Object.entries(events)) model[verb](name, action);
        for (const one of controls) one[verb]('change:index change:value', recall);
    }
    listen('on');
    again();
    model.send?.({});  // le noyau sait ainsi qu'une page la montre
    return () => { stop(); listen('off'); };
}

export default { render };
