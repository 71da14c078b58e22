// Room tokens for tests, as anybody with the key could make them: JWT, HS256 (RFC 7519).

import { createHmac } from 'node:crypto';

/** @param {object} value */
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** @param {string} key @param {{room: string, sub?: string, allow: string[]}} claims */
export function roomToken(key, claims) {
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...claims, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}
