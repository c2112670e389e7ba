// What the tests call in a page.

const { openTertulia, TertuliaError } = await import(`/${location.search.slice(1) || 'client'}/index.js`);

/** Its server puts its own in here. */
const DEADLINE_MS = 15_000;

/** The value, once it is as wanted. Listens until `keep` is given up, which tests never do. */
function until(live, wanted, what = 'a value') {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`waited ${DEADLINE_MS} ms for ${what}; it is ${JSON.stringify(live.get())?.slice(0, 2000)}`));
    }, DEADLINE_MS);
    const look = () => {
      const value = live.get();
      if (value === undefined || !wanted(value)) return;
      clearTimeout(late);
      // Not from within the call of the listener, which is not known yet the first time.
      queueMicrotask(() => stop());
      resolve(value);
    };
    const stop = live.subscribe(look);
    look();
  });
}

const bodies = (view) => view.messages.map((message) => message.body);

/** How a promise is refused. */
async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return { isOurs: error instanceof TertuliaError, code: error.code, detail: error.detail };
  }
  throw new Error('it was not refused');
}

/** The bytes of all files that the page has for itself, as text. Asked of a worker, for a page can't read what a worker holds. */
async function everyByte() {
  const source = `
    async function read(folder) {
      let text = '';
      for await (const entry of folder.values()) {
        if (entry.kind === 'directory') text += await read(entry);
        else text += new TextDecoder('latin1').decode(await (await entry.getFile()).arrayBuffer());
      }
      return text;
    }
    navigator.storage.getDirectory().then(read).then((text) => postMessage(text));`;
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const text = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.terminate();
  return text;
}

Object.assign(window, { openTertulia, until, bodies, refusal, everyByte, isReady: true });
