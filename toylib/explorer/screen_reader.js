// L'autre moitié de screen_reader.py, dans le navigateur.

const FIGURE = "Figure ; le texte qui la suit dit ce qu'elle montre.";

function put(element, attribute, text) {
    if (text && element.getAttribute(attribute) !== text) element.setAttribute(attribute, text);
}

function describe(root) {
    for (const handle of root.querySelectorAll('.noUi-handle')) {
        const slider = handle.closest('.jupyter-widgets');
        put(handle, 'aria-label', slider.querySelector('.widget-label')?.textContent);
        put(handle, 'aria-valuetext', slider.querySelector('.widget-readout')?.textContent);
    }
    for (const image of root.querySelectorAll('img')) put(image, 'alt', FIGURE);
    for (const line of root.querySelectorAll('.toylib-status')) put(line.parentElement, 'role', 'status');
}

function render({ el }) {
    let ended = false;
    const observer = new MutationObserver(() => describe(observer.root));
    function attach() {  // la boîte n'existe dans la page qu'après ses enfants
        observer.root = el.closest('.toylib-explorer, .widget-interact');
        if (!observer.root) return ended || requestAnimationFrame(attach);
        describe(observer.root);
        observer.observe(observer.root, { subtree: true, childList: true, attributeFilter: ['aria-valuetext'] });
    }
    attach();
    return () => { ended = true; observer.disconnect(); };
}

export default { render };
