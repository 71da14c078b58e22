// A page's PeerConnections, for tests that look at what it sends.

/** Runs in a page before its own scripts: notes its PeerConnections in `window.connections`. */
export function noteConnections() {
  /** @type {RTCPeerConnection[]} */
  const connections = [];
  Object.assign(window, {
    connections,
    RTCPeerConnection: class extends RTCPeerConnection {
      /** @param {RTCConfiguration} configuration */
      constructor(configuration) {
        super(configuration);
        connections.push(this);
      }
    },
  });
}
