// The safety desk: adverse events that wait to be acknowledged first, the others below, and one
// case with its timeline. It follows what happens, also while the tab is in the background: a new
// case changes the title and the icon of the tab, and sounds if sound is on.

import { $, announce, alarm } from './dom.js';
import { t, toggleLanguage, onLanguage } from './i18n.js';
import { followDesk, look } from './desklist.js';
import { openCase, closeCase } from './deskcase.js';
import { offset } from './zone.js';
import { showConnection } from './connection.js';
import { beep, pressSound } from './desksound.js';

let unseen = 0;        // new cases since somebody was at the page
let open = 0;
let lost = false;      // the server does not answer

// #/{id} shows a case, anything else the desk.
function route() {
  const id = shownCase();
  document.body.dataset.view = id ? 'case' : 'list';
  $('list').hidden = Boolean(id);
  $('case').hidden = !id;
  closeCase();
  if (id) {
    openCase(id);
    look(id);
  } else $('listHeading').focus({ preventScroll: true });
  scrollTo(0, 0);
}

const shownCase = () => /^#\/([A-Za-z0-9._-]{1,64})$/.exec(location.hash)?.[1];

// Somebody is at the page: what was new is seen.
function present() {
  if (document.visibilityState !== 'visible' || !document.hasFocus() || !unseen) return;
  unseen = 0;
  title();
}

function title() {
  let text = open ? t('deskTitleOpen', { n: open }) : t('deskHeading');
  if (unseen) text = t('deskTitleNew', { n: unseen, title: text });
  if (lost) text = t('deskTitleLost', { title: text });
  document.title = text;
  const icon = unseen || lost ? 'favicon-alert.svg' : 'favicon.svg';   // all that is seen of a tab that is pinned
  const link = document.querySelector('link[rel="icon"]');
  if (link.getAttribute('href') !== icon) link.setAttribute('href', icon);
}

function read({ open: count, fresh, acknowledged }) {
  open = count;
  if (fresh.length) {
    unseen += fresh.length;
    beep();
    alarm(fresh.length === 1 ? t('deskNewCase', { patient: fresh[0].patientId }) : t('deskNewCases', { n: fresh.length }));
  }
  for (const one of acknowledged) {
    if (one.id !== shownCase()) announce(t('deskAcknowledgedBy', { patient: one.patientId, name: one.acknowledgement.name }));
  }
  title();
}

function connection(now) {
  lost = now === 'lost';
  showConnection(now);
  title();
}

// Said once for all times of the page.
function zone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  $('zone').textContent = t('deskZone', { zone: timeZone === 'UTC' ? 'UTC' : `${timeZone}, UTC${offset(new Date())}` });
}

addEventListener('hashchange', route);
for (const sign of ['focus', 'pointerdown', 'keydown']) addEventListener(sign, present);
document.addEventListener('visibilitychange', present);
$('language').addEventListener('click', toggleLanguage);
$('sound').addEventListener('click', pressSound);
followDesk({ read, connection });
route();
onLanguage(() => { title(); zone(); });
