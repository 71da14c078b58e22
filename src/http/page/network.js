// Tells when the machine's network has changed, as far as browsers know.

/**
 * Calls back when the machine is online again, and, where the browser says on what (Android, ChromeOS), when that is
 * another network. Estimates of its speed change all the time and are no news.
 * @param {() => void} changed @returns {() => void} ends it
 */
export function watchNetwork(changed) {
  /** @type {(EventTarget & {type?: string})|undefined} */
  const connection = Reflect.get(navigator, 'connection');
  let type = connection?.type;
  const compare = () => {
    if (connection?.type === type) return;
    type = connection?.type;
    changed();
  };
  addEventListener('online', changed);
  connection?.addEventListener('change', compare);
  return () => {
    removeEventListener('online', changed);
    connection?.removeEventListener('change', compare);
  };
}
