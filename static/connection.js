// Says whether a page is connected to the server, and as of when it shows what it shows. The page
// has the elements connection, which says so at all times, and alert.

import { $, alarm, announce } from './dom.js';
import { t, time, onLanguage } from './i18n.js';

let connection = '';   // '' until the first answer, or as keepCurrent tells it
let at = null;         // when the server answered last

/** Shows how the connection is, after a reading. */
export function showConnection(now) {
  const before = connection;
  connection = now;
  if (now !== 'lost') at = new Date();
  render();
  if (now === 'lost' && before !== 'lost') alarm(t('connectionLost'));
  if (now !== 'lost' && before === 'lost') announce(t('connectionBack'));
}

function render() {
  const node = $('connection');
  const style = connection === 'lost' ? { dateStyle: 'medium', timeStyle: 'medium' } : { timeStyle: 'medium' };   // it may have been days ago
  const asOf = at ? t('asOf', { at: time(at, style) }) : '';
  const said = { live: t('connectionLive'), asking: t('connectionAsking'), lost: t('connectionLost') }[connection] ?? t('listLoading');
  node.textContent = asOf ? t('connectionAsOf', { said, asOf }) : said;
  node.dataset.connection = connection;
}

onLanguage(render);
