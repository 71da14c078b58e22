// Lays out the tiles: as large as they fit, in rows.

const WIDEST = 16 / 9;
const TALLEST = 3 / 4;

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

/** Keeps the stage's tiles fitted, whatever comes, leaves or changes size. @param {HTMLElement} stage */
export function keepFitted(stage) {
  const refit = () => {
    const tiles = stage.querySelectorAll('.tile');
    const { width, height } = fit(tiles.length, stage.clientWidth, stage.clientHeight, 12);
    stage.style.setProperty('--tile-width', `${width}px`);
    stage.style.setProperty('--tile-height', `${height}px`);
    stage.dataset.count = String(tiles.length);
  };
  new ResizeObserver(refit).observe(stage);
  new MutationObserver(refit).observe(stage, { childList: true });
  refit();
}
