// La page que page.py écrit : les deux commandes, qui n'en font qu'une pour la scène, et un modèle qui lui parle comme
// le ferait celui d'un widget.
const NOWHERE = 10 ** 7;

async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById('data').textContent), one => one.charCodeAt(0));
    const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'))).json();
    for (const part of data.recall.flatMap(frame => Object.values(frame.parts)).filter(one => one.steps)) {
        let height = 0;
        const xy = part.steps.flatMap((step, k) => {
            height += step;
            return [data.x[part.x][k], height === NOWHERE ? NaN : height / 50];
        });
        part.points = new DataView(Float32Array.from(xy).buffer);
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
