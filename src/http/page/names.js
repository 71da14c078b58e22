// Rooms: friendly names, links, and the token that comes with a link.

const MOODS = ['amber', 'brave', 'bright', 'calm', 'clever', 'coral', 'cosy', 'dapper', 'early', 'gentle', 'golden',
  'happy', 'hazel', 'jolly', 'kind', 'lively', 'lucky', 'mellow', 'merry', 'misty', 'noble', 'olive', 'quiet', 'rapid',
  'ruby', 'silver', 'snug', 'sunny', 'swift', 'tidy', 'velvet', 'witty'];
const BEINGS = ['badger', 'bear', 'beaver', 'bison', 'crane', 'deer', 'dolphin', 'eagle', 'falcon', 'ferret', 'finch',
  'fox', 'gecko', 'hare', 'hedgehog', 'heron', 'ibis', 'jackdaw', 'koala', 'lark', 'lynx', 'marten', 'otter', 'owl',
  'panda', 'puffin', 'raven', 'robin', 'seal', 'sparrow', 'swan', 'wren'];
const PLACES = ['bay', 'beach', 'bridge', 'brook', 'camp', 'cape', 'cliff', 'coast', 'cove', 'creek', 'dale', 'delta',
  'dune', 'falls', 'field', 'fjord', 'garden', 'grove', 'harbour', 'hill', 'island', 'lagoon', 'lake', 'meadow', 'mill',
  'oasis', 'orchard', 'pier', 'pond', 'shore', 'valley', 'woods'];

/** @param {string[]} words each of 32 */
function pick(words) {
  return words[crypto.getRandomValues(new Uint8Array(1))[0] & 31];
}

/** A new room's name, as `calm-otter-cove-482`: 25 random bits, so that nobody stumbles in. */
export function roomName() {
  const number = crypto.getRandomValues(new Uint16Array(1))[0] % 1000;
  return `${pick(MOODS)}-${pick(BEINGS)}-${pick(PLACES)}-${String(number).padStart(3, '0')}`;
}

/** What people type becomes what a room may be called. @param {string} text */
export function tidyRoom(text) {
  return text.trim().normalize('NFKD').replace(/\s+/g, '-').replace(/[^A-Za-z0-9._-]/g, '').replace(/^\.+/, '').slice(0, 64);
}

/** @param {string} room */
export function roomLink(room) {
  return `${location.origin}/r/${encodeURIComponent(room)}`;
}

/** The room of `/r/NAME`, if that is where we are. */
export function roomOfPath() {
  const [, room] = location.pathname.match(/^\/r\/([^/]+)\/?$/) ?? [];
  return room ? tidyRoom(decodeURIComponent(room)) : null;
}

/** The token of `#token=` or `?token=`. The query is cleared: servers and proxies write queries into logs. */
export function takeToken() {
  const query = new URLSearchParams(location.search);
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get('token') ?? query.get('token');
  if (query.has('token')) {
    query.delete('token');
    const rest = query.size ? `?${query}` : '';
    history.replaceState(null, '', `${location.pathname}${rest}#token=${token}`);
  }
  return token;
}

/** Whether a token says that its bearer may not send; the server decides, this only spares a detour. @param {string|null} token */
export function forbidsSending(token) {
  const payload = token?.split('.')[1];
  if (!payload) return false;
  try {
    const { allow } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    return Array.isArray(allow) && !allow.includes('send');
  } catch {
    return false;
  }
}
