// Small hands for the document.

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function get(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`index.html: #${id} should be a ${type.name}`);
  return element;
}

/** @param {string} id */
export const button = (id) => get(id, HTMLButtonElement);

/** @param {string} name one of icons.svg */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const use = document.createElementNS(SVG, 'use');
  svg.classList.add('icon');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `/page/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Changes a button's icon and words. @param {HTMLElement} element @param {string} name @param {string} words */
export function dress(element, name, words) {
  element.querySelector('use')?.setAttribute('href', `/page/icons.svg#${name}`);
  element.setAttribute('aria-label', words);
  element.title = words;
}

/** @param {string} text @returns {Promise<boolean>} whether it is in the clipboard now */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
