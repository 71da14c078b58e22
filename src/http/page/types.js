// The shapes of the signalling protocol, version 1, as docs/protocol.md has them. Types only.

/**
 * @typedef {'person'|'kiosk'|'recorder'|'filter'|'viewer'|'relay'} Kind
 * @typedef {'audio'|'video'} MediaKind
 * @typedef {{audio: boolean, video: boolean}} Sends
 *
 * @typedef {object} Participant
 * @property {string} id
 * @property {Kind} kind
 * @property {string} [name]
 * @property {string} [identity]
 * @property {Sends} sends
 * @property {boolean} recording
 * @property {boolean} [recordable] false: it does not want to be recorded
 * @property {string} [enhances]
 * @property {boolean} [away] its connection to the server is lost; its media goes on
 *
 * @typedef {{servers: RTCIceServer[], transport_policy: RTCIceTransportPolicy}} Ice
 *
 * @typedef {'offer'|'answer'} SdpType
 * @typedef {{type: SdpType, from: string, generation: number, sdp: string}} SdpMessage
 * @typedef {{type: 'candidate', from: string, generation: number, candidate: string, mline: number}} CandidateMessage
 *
 * @typedef {{type: 'welcome', protocol: number, you: Participant, participants: Participant[], ice: Ice, filters?: boolean,
 *     session?: {token: string, seconds: number}}
 *   | {type: 'resumed', received: number}
 *   | {type: 'ack', received: number}
 *   | {type: 'joined', participant: Participant, earlier?: boolean}
 *   | {type: 'updated', participant: Participant}
 *   | {type: 'left', id: string, reason: string}
 *   | SdpMessage
 *   | CandidateMessage
 *   | {type: 'renew', from: string, generation: number}
 *   | {type: 'ice_servers', ice: Ice}
 *   | {type: 'error', code: string, message: string, fatal: boolean}} ServerMessage
 *
 * @typedef {{type: 'join', protocol: number, room: string, kind: Kind, name?: string, token?: string, sends: Sends,
 *     recordable?: boolean, session?: {token?: string, received?: number}}
 *   | {type: 'ack', received: number}
 *   | {type: SdpType, to: string, generation: number, sdp: string}
 *   | {type: 'candidate', to: string, generation: number, candidate: string, mline: number}
 *   | {type: 'renew', to: string, generation: number}
 *   | {type: 'update', sends?: Sends, name?: string, recordable?: boolean}
 *   | {type: 'filter', on: boolean}
 *   | {type: 'ice_servers'}
 *   | {type: 'leave'}} ClientMessage
 */

export {};
