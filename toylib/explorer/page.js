// La page que page.py écrit : les deux commandes, et un modèle qui parle à la scène comme le ferait celui d'un widget.
async function inflate(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), one => one.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate')));
}

async function unpack() {
    const data = await (await inflate('data')).json(), steps = new Uint16Array(await (await inflate('heights')).arrayBuffer());
    let at = 0;
    for (const part of data.recall.flatMap(frame => Object.values(frame.parts)).filter(one => 'x' in one)) {
        let height = 0;
        const xy = Float32Array.from({ length: 2 * data.x[part.x].length }, (_, k) => {
            if (k % 2 === 0) return data.x[part.x][k / 2];
            height = (height + steps[at++]) % 65536;
            return height === 65535 ? NaN : height / 100;
        });
        part.points = new DataView(xy.buffer);
    }
    return data;
}

async function start() {
    const data = await unpack(), [rates, optimizers] = data.choices, rate = document.getElementById('rate');
    const written = document.querySelector('output'), changed = [];
    const choices = optimizers.map((name, k) => {
        const label = document.createElement('label');
        label.innerHTML = `<input type="radio" name="optimizer"${k === data.start[1] ? ' checked' : ''}> `;
        label.append(name);
        document.querySelector('fieldset').append(label);
        return label.firstElementChild;
    });
    rate.max = rates.length - 1;
    rate.value = data.start[0];
    const move = () => {
        written.textContent = rates[rate.value];
        rate.setAttribute('aria-valuetext', rates[rate.value]);
        changed.forEach(action => action());
    };
    const control = get => ({ get: () => get(), on: (_, action) => changed.push(action), off: () => {} });
    const controls = { rate: control(() => +rate.value), optimizer: control(() => choices.findIndex(one => one.checked)) };
    const state = { ...data, controls: Object.keys(controls), frame: {}, pins: [] };
    const manager = { get_model: async name => controls[name] };
    move();
    await render({ model: { get: name => state[name], on() {}, off() {}, widget_manager: manager }, el: document.getElementById('stage') });
    document.addEventListener('input', move);
    new ResizeObserver(() => parent.postMessage({ toylib: document.body.scrollHeight }, '*')).observe(document.body);
}

start();
