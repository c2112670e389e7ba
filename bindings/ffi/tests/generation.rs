//! What the other languages get, as far as it can be told without their compilers. That it works is told by e2e/python/test_ffi.py.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};

use anyhow::{Context as _, Result};

#[path = "../examples/bindgen.rs"]
#[expect(dead_code, reason = "its `main` is the example's")]
mod bindgen;

/// Beside this test, since the package's library is built with it.
fn library() -> Result<String> {
    let test = std::env::current_exe()?;
    let folder = test.parent().context("a test lies in a folder")?;
    Ok(folder.join(format!("{DLL_PREFIX}tertulia_ffi{DLL_SUFFIX}")).to_string_lossy().into_owned())
}

#[test]
fn kotlin_swift_and_python_have_the_same_objects_values_and_callbacks() -> Result<()> {
    let folder = format!("{}/bindings", env!("CARGO_TARGET_TMPDIR"));
    bindgen::write(&library()?, &folder)?;
    let expected = [
        (
            "kotlin/org/tertulia/tertulia.kt",
            [
                "open class Client:",
                "open class Timeline:",
                "suspend fun `syncUntil`(`conversation`: ConversationId, `message`: MessageId, `deadlineMs`: kotlin.ULong = 10000uL, `cancel`: Cancel? = null): Message",
                "suspend fun `backgroundSync`(`limitMs`: kotlin.ULong = 25000uL, `cancel`: Cancel? = null): SyncOutcome",
                "fun `registerPush`(`registration`: PushRegistration)",
                "data class Message (",
                "sealed class MessageDiff {",
                "class BlankBody(",
                "public interface Listener {",
                "suspend fun `token`(): kotlin.String",
            ],
        ),
        (
            "swift/Tertulia.swift",
            [
                "open class Client:",
                "open class Timeline:",
                "open func syncUntil(conversation: ConversationId, message: MessageId, deadlineMs: UInt64 = UInt64(10000), cancel: Cancel? = nil)async throws  -> Message",
                "open func backgroundSync(limitMs: UInt64 = UInt64(25000), cancel: Cancel? = nil)async throws  -> SyncOutcome",
                "open func registerPush(registration: PushRegistration)throws",
                "public struct Message:",
                "public enum MessageDiff:",
                "case BlankBody",
                "public protocol Listener:",
                "func token() async throws  -> String",
            ],
        ),
        (
            "python/tertulia.py",
            [
                "class Client(",
                "class Timeline(",
                "async def sync_until(self, conversation: ConversationId,message: MessageId,deadline_ms: int",
                "async def background_sync(self, limit_ms: int",
                "def register_push(self, registration: PushRegistration)",
                "class Message:",
                "class MessageDiff:",
                "class BlankBody(",
                "class Listener(",
                "async def token(self, ) -> str:",
            ],
        ),
    ];
    for (file, declarations) in expected {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).context(file)?;
        for declaration in declarations {
            assert!(text.contains(declaration), "{file} has no `{declaration}`");
        }
    }
    for file in ["TertuliaFFI.h", "TertuliaFFI.modulemap"] {
        std::fs::metadata(format!("{folder}/swift/{file}")).context(file)?;
    }
    Ok(())
}
