// The chat: text over the data channels, straight to everybody who is here.

import { button, get } from './dom.js';

export class Chat {
  #panel = get('chat', HTMLElement);
  #log = get('chat-log', HTMLElement);
  #list = get('chat-list', HTMLOListElement);
  #empty = get('chat-empty', HTMLElement);
  #text = get('chat-text', HTMLInputElement);
  #toggle = button('chat-toggle');
  #badge = get('chat-unread', HTMLElement);
  #unread = 0;

  /** @param {(text: string) => number} send gives how many got it */
  constructor(send) {
    this.#toggle.onclick = () => this.toggle();
    button('chat-close').onclick = () => this.close();
    get('chat-form', HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (!text) return;
      if (send(text)) {
        this.#add('You', text);
        this.#text.value = '';
      } else {
        this.#note('Nobody is here to read that yet.');
      }
    };
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  /** @param {string} from @param {string} text */
  receive(from, text) {
    this.#add(from, text);
    if (this.isOpen) return;
    this.#unread += 1;
    this.#showUnread();
  }

  toggle() {
    if (this.isOpen) return this.close();
    this.#panel.hidden = false;
    this.#toggle.setAttribute('aria-expanded', 'true');
    this.#unread = 0;
    this.#showUnread();
    this.#text.focus();
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  close() {
    const hadFocus = this.#panel.contains(document.activeElement);
    this.#panel.hidden = true;
    this.#toggle.setAttribute('aria-expanded', 'false');
    if (hadFocus) this.#toggle.focus();
  }

  clear() {
    this.close();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
    this.#unread = 0;
    this.#showUnread();
  }

  /** @param {string} from @param {string} text */
  #add(from, text) {
    const item = document.createElement('li');
    const name = document.createElement('span');
    const words = document.createElement('p');
    const time = document.createElement('time');
    item.className = from === 'You' ? 'mine' : 'theirs';
    item.dataset.testid = 'chat-message';
    name.className = 'chat-from';
    name.textContent = from;
    words.textContent = text;
    time.textContent = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    item.append(name, words, time);
    this.#append(item);
  }

  /** @param {string} words */
  #note(words) {
    const item = document.createElement('li');
    item.className = 'note';
    item.textContent = words;
    this.#append(item);
  }

  /** @param {HTMLElement} item */
  #append(item) {
    this.#empty.hidden = true;
    this.#list.append(item);
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #showUnread() {
    this.#badge.hidden = this.#unread === 0;
    this.#badge.textContent = this.#unread > 9 ? '9+' : String(this.#unread);
    const words = this.#unread ? `Chat, ${this.#unread} unread (C)` : 'Chat (C)';
    this.#toggle.setAttribute('aria-label', words);
  }
}
