//! The local store in a browser: in the files that a page has for itself (the origin private file system). Only in a dedicated worker, and only in one.

use rusqlite::Connection;
use sqlite_wasm_rs::WasmOsCallback;
use sqlite_wasm_vfs::sahpool::{self, OpfsSAHError, OpfsSAHPoolCfgBuilder, OpfsSAHPoolUtil};

use crate::{OpenError, Store};

/// The database, its write-ahead log, and room for what SQLite may want beside them.
const FILES: usize = 6;

const DATABASE: &str = "chat.db";

/// Nobody else can open them while they are held.
pub struct Files(OpfsSAHPoolUtil);

impl Drop for Files {
    fn drop(&mut self) {
        // A file that is still in use is freed with the worker.
        let _ = self.0.pause();
    }
}

impl Store {
    /// Opens or makes the database in a folder of its own. Where that fails, the files are free again.
    pub async fn open_in_browser(folder: &str) -> Result<Self, OpenError> {
        let pool = OpfsSAHPoolCfgBuilder::new().directory(folder).initial_capacity(FILES).build();
        let pool = sahpool::install::<WasmOsCallback>(&pool, true).await.map_err(why)?;
        if pool.is_paused() {
            pool.resume().await.map_err(why)?;
        }
        let files = Files(pool);
        let mut store = Self::prepare(Connection::open(DATABASE)?, true)?;
        store._files = Some(files);
        Ok(store)
    }
}

fn why(error: OpfsSAHError) -> OpenError {
    let text = error.to_string();
    match error {
        OpfsSAHError::NotSupported => OpenError::NoFiles(text),
        OpfsSAHError::Opfs { message, .. } if message.starts_with("NoModificationAllowedError") => {
            OpenError::InUse(text)
        }
        OpfsSAHError::Opfs { .. } => OpenError::NoFiles(text),
        OpfsSAHError::InvalidHeader { .. }
        | OpfsSAHError::DuplicateFilename(_)
        | OpfsSAHError::NeedsRecovery
        | OpfsSAHError::InvalidDirectoryEntry => OpenError::Damaged(text),
        _ => OpenError::InUse(text),
    }
}
