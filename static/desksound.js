// The sound of a new case. Browsers let a page sound only after somebody has pressed something on
// it. So it is off at first; and once the page was opened again it waits for a press of any kind,
// and says so.

import { $ } from './dom.js';
import { t, onLanguage } from './i18n.js';

const key = 'casepress.deskSound';
let context = null;    // null while sound is off
let waiting = null;    // the promise of the sound that waits until the browser allows it

const isHeard = () => context?.state === 'running';

/** Turns sound on or off, by a press of the button, and lets it be heard when it is turned on. */
export async function pressSound() {
  if (isHeard()) {
    remember(false);
    await context.close();
    context = null;
  } else {
    remember(true);
    turnOn();
    await context.resume();
    beep();
  }
  render();
}

/** Two short tones, if sound is on. However many are due while the browser does not allow it, it is one. */
export function beep() {
  if (!context || waiting) return;
  if (isHeard()) play();
  else waiting = context.resume().then(play, () => {}).finally(() => { waiting = null; });
}

function play() {
  [880, 660].forEach((pitch, i) => {
    const from = context.currentTime + i * 0.25;
    const tone = context.createOscillator(), volume = context.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.2, from);
    volume.gain.exponentialRampToValueAtTime(0.001, from + 0.22);
    tone.connect(volume).connect(context.destination);
    tone.start(from);
    tone.stop(from + 0.22);
  });
}

function turnOn() {
  if (context) return;
  context = new AudioContext();
  context.onstatechange = render;   // a phone call, or a loudspeaker that is gone, may stop it
}

function render() {
  $('sound').setAttribute('aria-pressed', String(isHeard()));
  $('sound').textContent = t(isHeard() ? 'deskSoundOff' : context ? 'deskSoundWaits' : 'deskSoundOn');
  $('sound').dataset.waits = String(Boolean(context) && !isHeard());
}

// Kept, so that a desk that was opened again does not stay silent without a word.
function remember(on) {
  try {
    if (on) localStorage.setItem(key, 'on');
    else localStorage.removeItem(key);
  } catch { /* private mode: it then lasts as long as the page */ }
}

function remembered() {
  try {
    return localStorage.getItem(key) === 'on';
  } catch {
    return false;
  }
}

// Any press on the page will do; the button turns it on by itself.
for (const press of ['pointerdown', 'keydown']) {
  addEventListener(press, (e) => {
    if (context && !isHeard() && !$('sound').contains(e.target)) context.resume().catch(() => {});
  });
}
if (remembered()) turnOn();
onLanguage(render);
