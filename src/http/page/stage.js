// Lays out the tiles: as large as they fit, in rows.

const WIDEST = 16 / 9;
const TALLEST = 3 / 4;
const GAP = 12;

/**
 * The tile size that covers the most of a stage.
 * @param {number} count @param {number} width @param {number} height @param {number} gap pixels
 */
export function fit(count, width, height, gap) {
  let best = { width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    let across = (width - gap * (columns - 1)) / columns;
    let down = (height - gap * (rows - 1)) / rows;
    // A single one may take all there is: nobody else needs the room.
    if (count > 1) {
      across = Math.min(across, down * WIDEST);
      down = Math.min(down, across / TALLEST);
    }
    if (across * down > best.width * best.height) best = { width: Math.floor(across), height: Math.floor(down) };
  }
  return best;
}

/** Of the stage's height, what the small ones take below a large one. */
const STRIP = 0.24;

/**
 * One large tile over a row of small ones.
 * @param {number} count of all @param {number} width @param {number} height @param {number} gap pixels
 */
export function fitSpeaker(count, width, height, gap) {
  const across = (width - gap * (count - 2)) / (count - 1);
  const down = Math.min(height * STRIP, across / TALLEST);
  const small = { width: Math.floor(Math.min(across, down * WIDEST)), height: Math.floor(down) };
  return { small, large: { width: Math.floor(width), height: Math.floor(height - small.height - gap) } };
}

/** Keeps the stage's tiles fitted, whatever comes, leaves or changes size. @param {HTMLElement} stage */
export function keepFitted(stage) {
  // What lies over the stage has to know, too.
  const floor = stage.parentElement ?? stage;
  const refit = () => {
    const tiles = stage.querySelectorAll('.tile');
    const [across, down] = [stage.clientWidth, stage.clientHeight];
    // With two in a call there is one tile, which has all the room anyway.
    const isSpeaker = stage.dataset.view === 'speaker' && tiles.length > 1;
    const same = fit(tiles.length, across, down, GAP);
    const { small, large } = isSpeaker ? fitSpeaker(tiles.length, across, down, GAP) : { small: same, large: same };
    for (const [name, { width, height }] of Object.entries({ tile: small, active: large })) {
      floor.style.setProperty(`--${name}-width`, `${width}px`);
      floor.style.setProperty(`--${name}-height`, `${height}px`);
    }
    stage.dataset.count = String(tiles.length);
    stage.classList.toggle('with-speaker', isSpeaker);
  };
  new ResizeObserver(refit).observe(stage);
  new MutationObserver(refit).observe(stage, { childList: true, attributeFilter: ['data-view'] });
  refit();
}
