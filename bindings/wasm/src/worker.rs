//! What the worker calls.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tertulia_client::{Client, SCHEMA_VERSION, Store, StoreError, TokenError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::answers::{Answer, answer};
use crate::calls::Opening;
use crate::failure::Failure;
use crate::subscriptions::Subscriptions;

#[wasm_bindgen]
extern "C" {
    /// The worker's: what the module says last. After a panic it may not be called again.
    #[wasm_bindgen(js_namespace = globalThis, js_name = tertuliaPanicked)]
    fn tertulia_panicked(what: &str);
}

/// One client, open.
#[wasm_bindgen]
pub struct Core(Rc<Open>);

pub struct Open {
    pub client: Client,
    pub by_cookie: bool,
    pub subscriptions: Subscriptions,
}

/// The version of the local database that this module makes.
#[wasm_bindgen(js_name = schemaVersion)]
pub fn schema_version() -> u32 {
    u32::try_from(SCHEMA_VERSION).unwrap_or(u32::MAX)
}

/// Opens the database and the client; nothing is sent before the call `connect`. `ask_token` is given the token that was refused, or null, and gives the
/// promise of one, or of null where the person has to sign in; rejected it is asked again later. Throws a `Failure` as JSON.
#[wasm_bindgen]
pub async fn open(opening: String, ask_token: Function) -> Result<Core, JsValue> {
    std::panic::set_hook(Box::new(|panic| tertulia_panicked(&panic.to_string())));
    opened(&opening, ask_token).await.map_err(|failure| thrown(&failure))
}

async fn opened(opening: &str, ask_token: Function) -> Result<Core, Failure> {
    let Opening { server, folder, by_cookie } = read(opening)?;
    let store = match Store::open_in_browser(&folder).await {
        // A private window, as a rule: chat works there too, and is gone with it.
        Err(StoreError::NoFiles(_)) => Store::open_in_memory()?,
        opened => opened?,
    };
    let builder = Client::builder(&server).store(store);
    let builder = if by_cookie {
        builder.by_cookie()
    } else {
        let given = Rc::new(RefCell::new(None));
        builder.token_provider(move || token(ask_token.clone(), Rc::clone(&given)))
    };
    let client = builder.open()?;
    Ok(Core(Rc::new(Open { subscriptions: Subscriptions::new(client.clone()), client, by_cookie })))
}

/// `given`: the one before, which was refused.
async fn token(ask: Function, given: Rc<RefCell<Option<String>>>) -> Result<String, TokenError> {
    let refused = given.borrow_mut().take().map_or(JsValue::NULL, |token| JsValue::from_str(&token));
    let asked = ask.call1(&JsValue::NULL, &refused).map(Promise::from);
    let unavailable = |_| TokenError::Unavailable("the page has none".to_owned());
    let token = JsFuture::from(asked.map_err(unavailable)?).await.map_err(unavailable)?;
    let token = token.as_string();
    given.borrow_mut().clone_from(&token);
    token.ok_or(TokenError::SignedOut)
}

#[wasm_bindgen]
impl Core {
    /// The promise of what the call answers, as JSON; rejected with a `Failure` as JSON. `again`: it was made before, and whether it was done is not known.
    pub fn call(&self, call: String, again: bool) -> Promise {
        let open = Rc::clone(&self.0);
        future_to_promise(async move {
            let done: Answer = match read(&call) {
                Ok(call) => answer(&open, call, again).await,
                Err(failure) => Err(failure),
            };
            done.map(|text| JsValue::from_str(&text)).map_err(|failure| thrown(&failure))
        })
    }

    /// Calls `told` with what there is to see now, and with each change, as JSON; `name` is to be used once.
    pub fn subscribe(&self, name: String, topic: &str, told: Function) -> Result<(), JsValue> {
        let topic = read(topic).map_err(|failure| thrown(&failure))?;
        self.0.subscriptions.begin(name, topic, told);
        Ok(())
    }

    pub fn unsubscribe(&self, name: &str) {
        self.0.subscriptions.end(name);
    }

    /// Says goodbye to the server and lets go of the database. Nothing is to be called afterwards.
    pub fn close(&self) -> Promise {
        let open = Rc::clone(&self.0);
        future_to_promise(async move {
            open.subscriptions.end_all();
            open.client.clone().close().await;
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(Failure::invalid)
}

/// What crosses can always be written.
pub fn written<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn thrown(failure: &Failure) -> JsValue {
    JsValue::from_str(&written(failure))
}
