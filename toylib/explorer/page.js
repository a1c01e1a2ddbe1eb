// La page que page.py écrit : les deux commandes, qui n'en font qu'une pour la scène, et un modèle qui lui parle comme
// le ferait celui d'un widget.
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
    document.querySelector('fieldset').innerHTML = optimizers.map((name, k) =>
        `<label><input type="radio" name="optimizer" value="${k}"${k === data.start[1] ? ' checked' : ''}> ${name}</label>`).join('');
    rate.max = rates.length - 1;
    rate.value = data.start[0];
    function move() {
        document.querySelector('output').textContent = rates[rate.value];
        rate.setAttribute('aria-valuetext', rates[rate.value]);
    }
    const control = {
        get: () => `${rate.value},${document.querySelector(':checked').value}`,
        on: (_, action) => document.addEventListener('input', action),
    };
    const state = { ...data, controls: ['les deux'], frame: {}, pins: [] };
    const model = { get: name => state[name], on() {}, widget_manager: { get_model: () => control } };
    move();
    document.addEventListener('input', move);
    await render({ model, el: document.getElementById('stage') });
    new ResizeObserver(() => parent.postMessage({ toylib: document.body.scrollHeight }, '*')).observe(document.body);
}

start();
