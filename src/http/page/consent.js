// Whether this person may be recorded: kept in the browser, changed by switches in lobby and call, told to the room.

const STORED = 'attache.not-recorded';

/** Fires `change`. */
export class Consent extends EventTarget {
  get recordable() {
    return localStorage.getItem(STORED) === null;
  }

  /** @param {boolean} recordable */
  set recordable(recordable) {
    if (recordable === this.recordable) return;
    if (recordable) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, '');
    this.dispatchEvent(new Event('change'));
  }

  /** Lets a checkbox "Do not record me" show and change it. @param {HTMLInputElement} checkbox */
  bind(checkbox) {
    const show = () => void (checkbox.checked = !this.recordable);
    checkbox.onchange = () => void (this.recordable = !checkbox.checked);
    this.addEventListener('change', show);
    show();
  }
}
