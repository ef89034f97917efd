// The service worker of questionnaires.html: it lets the page be opened without a connection. It
// keeps the files of the page and nothing else; answers and questionnaires are kept by the page.

const files = [
  'questionnaires.html', 'style.css', 'questionnaires.css', 'favicon.svg', 'questionnaires.js', 'startform.js', 'question.js', 'instruments.js', 'studies.js',
  'outbox.js', 'keep.js', 'send.js', 'digest.js', 'zone.js', 'dom.js', 'i18n.js', 'texts.js', 'questionnairetexts.js', 'progresstexts.js', 'desktexts.js',
];
const addresses = new Set(files.map((file) => new URL(file, self.location).href));
const cacheName = 'casepress-questionnaires';

// All files or none, so that those of two releases are never mixed.
async function keepFiles() {
  const cache = await caches.open(cacheName);
  await cache.addAll(files.map((file) => new Request(file, { cache: 'no-cache' })));
}

self.addEventListener('install', (e) => e.waitUntil(keepFiles().then(() => self.skipWaiting())));
self.addEventListener('activate', (e) => e.waitUntil(self.clients.claim()));

self.addEventListener('fetch', (e) => {
  const address = e.request.url.split(/[?#]/)[0];
  if (e.request.method !== 'GET' || !addresses.has(address)) return;
  if (e.request.mode === 'navigate') e.waitUntil(keepFiles().catch(() => {}));   // a new release, if there is one
  e.respondWith(answer(e.request, address));
});

// What the server has now, or else what is kept.
async function answer(request, address) {
  try {
    const response = await fetch(request);
    if (response.ok) return response;
  } catch { /* no connection */ }
  return await caches.match(address) ?? Response.error();
}
