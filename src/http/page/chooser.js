// The choice of camera, microphone and speaker, before the call and in it.

/** @import {LocalMedia} from './devices.js' */

const CHOICES = /** @type {const} */ ({ videoinput: 'video', audioinput: 'audio', audiooutput: 'speaker' });
const NAMES = { videoinput: 'Camera', audioinput: 'Microphone', audiooutput: 'Speaker' };

/** Fills a place with three lists that follow what is plugged in. @param {HTMLElement} place @param {LocalMedia} media */
export function deviceChooser(place, media) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById('devices-template'));
  place.append(template.content.cloneNode(true));
  const labels = /** @type {HTMLElement[]} */ ([...place.children]);

  for (const label of labels) {
    const select = /** @type {HTMLSelectElement} */ (label.querySelector('select'));
    const kind = /** @type {keyof typeof CHOICES} */ (label.dataset.kind);
    select.onchange = () => {
      const choice = CHOICES[kind];
      if (choice === 'speaker') media.chooseSpeaker(select.value);
      else media.choose(choice, select.value);
    };
  }

  const fill = async () => {
    const devices = await navigator.mediaDevices?.enumerateDevices() ?? [];
    for (const label of labels) fillOne(label, devices, media);
  };
  media.addEventListener('change', fill);
  navigator.mediaDevices?.addEventListener('devicechange', fill);
  fill();
}

/** @param {HTMLElement} label @param {MediaDeviceInfo[]} devices @param {LocalMedia} media */
function fillOne(label, devices, media) {
  const kind = /** @type {keyof typeof CHOICES} */ (label.dataset.kind);
  const select = /** @type {HTMLSelectElement} */ (label.querySelector('select'));
  // Before the permission, devices have neither ids nor names.
  const known = devices.filter((device) => device.kind === kind && device.deviceId);
  const choice = CHOICES[kind];
  const current = choice === 'speaker' ? media.chosen.speaker : media.track(choice)?.getSettings().deviceId ?? media.chosen[choice];
  const unsupported = kind === 'audiooutput' && !('setSinkId' in HTMLMediaElement.prototype);
  label.hidden = unsupported || known.length === 0;
  select.replaceChildren(...known.map((device, index) => {
    const name = device.label || `${NAMES[kind]} ${index + 1}`;
    return new Option(name, device.deviceId, false, device.deviceId === current);
  }));
}
