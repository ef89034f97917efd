// The page for staff: answers on the server, what was made of them and by which rule, and a
// patient's scores over time. What is searched for stays in the page: addresses end up in the
// browser's history.

import { $ } from './dom.js';
import { t, toggleLanguage, onLanguage } from './i18n.js';
import { openResponseList, closeResponseList } from './responselist.js';
import { openResponse, closeResponse } from './responseview.js';

// #/{id} and #/{id}/{revision} show a response, anything else the list.
function route() {
  const [, id, revision] = /^#\/([A-Za-z0-9._-]{1,64})(?:\/(\d{1,4}))?$/.exec(location.hash) ?? [];
  document.body.dataset.view = id ? 'response' : 'list';
  $('list').hidden = Boolean(id);
  $('response').hidden = !id;
  document.title = t('responses');
  closeResponseList();
  closeResponse();
  if (id) openResponse(id, revision);
  else openResponseList();
  scrollTo(0, 0);
}

addEventListener('hashchange', route);
$('language').addEventListener('click', toggleLanguage);
route();
onLanguage(() => {});
