// The safety desk: adverse events that wait to be acknowledged first, the others below, and one
// case with its timeline. It asks every few seconds, also while the tab is in the background: a
// new one changes the title, and sounds if sound is on.

import { $, announce } from './dom.js';
import { t, toggleLanguage, onLanguage } from './i18n.js';
import { readDesk, onOpenCases } from './desklist.js';
import { openCase, closeCase } from './deskcase.js';
import { beep, onSound } from './desksound.js';

let known = new Set(); // ids of the open cases that were seen
let unseen = 0;        // new ones that nobody has looked at
let open = 0;

// #/{id} shows a case, anything else the desk.
function route() {
  const [, id] = /^#\/([A-Za-z0-9._-]{1,64})$/.exec(location.hash) ?? [];
  document.body.dataset.view = id ? 'case' : 'list';
  $('list').hidden = Boolean(id);
  $('case').hidden = !id;
  closeCase();
  if (id) openCase(id);
  else $('listHeading').focus({ preventScroll: true });
  look();
  scrollTo(0, 0);
}

// Whoever has the page before him has seen what is new.
function look() {
  if (document.visibilityState === 'visible' && document.hasFocus()) unseen = 0;
  title();
}

function title() {
  const count = open ? t('deskTitleOpen', { n: open }) : t('deskHeading');
  document.title = unseen ? t('deskTitleNew', { n: unseen, title: count }) : count;
}

onOpenCases((cases, anew) => {
  const fresh = anew ? [] : cases.filter(({ id }) => !known.has(id));
  known = new Set([...known, ...cases.map(({ id }) => id)]);
  open = cases.length;
  if (fresh.length) {
    unseen += fresh.length;
    beep();
    announce(t('deskNew', { n: fresh.length }));
  }
  // The title says it even where the tab is before somebody, until the next answer.
  title();
  if (!fresh.length) look();
});

addEventListener('hashchange', route);
addEventListener('focus', look);
document.addEventListener('visibilitychange', look);
$('language').addEventListener('click', toggleLanguage);
$('sound').addEventListener('click', () => onSound());
readDesk();
route();
onLanguage(title);
