//! Files that only their key opens.

#[cfg(not(feature = "encryption"))]
#[test]
fn a_build_without_encryption_refuses_a_key_and_writes_nothing() {
    use tertulia_client_sqlite::{Key, OpenError, Store};

    let folder = tertulia_testkit::Folder::new().unwrap();
    let file = folder.path().join("chat.db");
    assert!(matches!(Store::open_encrypted(&file, &Key::new([1; 32])), Err(OpenError::NoEncryption)));
    assert_eq!(std::fs::metadata(&file).map_or(0, |file| file.len()), 0);
}

#[cfg(feature = "encryption")]
mod encrypted {
    use std::path::Path;

    use tertulia_client_sqlite::{Durability, Key, OpenError, Store};
    use tertulia_engine::{LocalStore as _, StoreFailure, SyncState};
    use tertulia_proto::UserId;
    use tertulia_testkit::Folder;

    const ME: UserId = UserId::from_bytes([1; 16]);
    const CURSOR: &str = "a cursor that can be found again in a file";

    fn fill(store: &mut Store) {
        let state = SyncState { account: Some(ME), cursor: Some(CURSOR.to_owned()), ..SyncState::default() };
        store.transaction::<_, StoreFailure>(Durability::Power, |rows| rows.put_sync_state(&state)).unwrap();
    }

    /// Of the database and of its write-ahead log.
    fn bytes(folder: &Folder) -> Vec<Vec<u8>> {
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty());
        files.iter().map(|file: &std::path::PathBuf| std::fs::read(file).unwrap()).collect()
    }

    fn holds(folder: &Folder, text: &str) -> bool {
        bytes(folder).iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    fn is_refused(opened: Result<Store, OpenError>) -> bool {
        matches!(opened, Err(OpenError::WrongKey))
    }

    fn account(file: &Path, key: &Key) -> Option<UserId> {
        Store::open_encrypted(file, key).unwrap().account().unwrap()
    }

    #[test]
    fn nothing_can_be_read_in_the_file_and_only_its_key_opens_it() {
        let folder = Folder::new().unwrap();
        let file = folder.path().join("chat.db");
        let key = Key::new([7; 32]);
        let mut store = Store::open_encrypted(&file, &key).unwrap();
        fill(&mut store);
        assert!(!holds(&folder, CURSOR), "while it is open, in its log too");
        drop(store);
        for word in [CURSOR, "SQLite format 3", "CREATE TABLE"] {
            assert!(!holds(&folder, word), "{word}");
        }
        let salt = &std::fs::read(&file).unwrap()[..16];
        assert_ne!(salt, [0; 16]);
        assert!(is_refused(Store::open(&file)));
        assert!(is_refused(Store::open_encrypted(&file, &Key::new([8; 32]))));
        assert_eq!(account(&file, &key), Some(ME), "and those who tried have changed nothing");
        let mut store = Store::open_encrypted(&file, &key).unwrap();
        store.wipe().unwrap();
        assert_eq!(store.account().unwrap(), None);
    }

    #[test]
    fn two_files_of_one_key_have_nothing_in_common() {
        let folders = [Folder::new().unwrap(), Folder::new().unwrap()];
        for folder in &folders {
            fill(&mut Store::open_encrypted(&folder.path().join("chat.db"), &Key::new([7; 32])).unwrap());
        }
        let [first, second] = folders.map(|folder| std::fs::read(folder.path().join("chat.db")).unwrap());
        let same = first.chunks(64).zip(second.chunks(64)).filter(|(one, other)| one == other).count();
        assert_eq!(same, 0);
    }

    #[test]
    fn a_file_without_a_key_stays_without_one() {
        let folder = Folder::new().unwrap();
        let file = folder.path().join("chat.db");
        fill(&mut Store::open(&file).unwrap());
        assert!(holds(&folder, CURSOR), "the text is found where it can be");
        assert!(is_refused(Store::open_encrypted(&file, &Key::new([7; 32]))));
        assert_eq!(Store::open(&file).unwrap().account().unwrap(), Some(ME));
    }

    #[test]
    fn a_key_is_32_bytes_and_is_not_told() {
        assert!(Key::try_from(&[1_u8; 31][..]).is_err());
        assert_eq!(format!("{:?}", Key::try_from(&[255_u8; 32][..]).unwrap()), "Key(..)");
    }
}
