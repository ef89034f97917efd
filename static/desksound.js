// The sound of a new alert. Browsers let a page sound only after somebody has pressed something on
// it, so it is off at first.

import { $ } from './dom.js';
import { t, onLanguage } from './i18n.js';

let context = null;    // null while sound is off

/** Turns sound on or off, by a press of the button, and lets it be heard when it is turned on. */
export async function onSound() {
  if (context) {
    context.close();
    context = null;
  } else {
    context = new AudioContext();
    await context.resume();
    beep();
  }
  render();
}

/** Two short tones, if sound is on. */
export function beep() {
  if (!context) return;
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

function render() {
  $('sound').setAttribute('aria-pressed', String(Boolean(context)));
  $('sound').textContent = t(context ? 'deskSoundOff' : 'deskSoundOn');
}

onLanguage(render);
