// The JavaScript side of bindings/wasm/src/worker.rs, which `cargo xtask web` writes into dist/wasm.

export default function init(options?: { module_or_path: URL | Response | Promise<Response> }): Promise<unknown>;

export function schemaVersion(): number;

/** `opening`: an `Opening` as JSON. Rejects with a `Failure` as JSON. */
export function open(opening: string, askToken: (refused: string | null) => Promise<string | null>): Promise<Core>;

export interface Core {
  /** `call`: a `Call` as JSON. Resolves with JSON, rejects with a `Failure` as JSON. */
  call(call: string, again: boolean): Promise<string>;
  /** `topic`: a `Topic` as JSON. Throws a `Failure` as JSON. */
  subscribe(name: string, topic: string, told: (value: string | null, failure?: string) => void): void;
  unsubscribe(name: string): void;
  close(): Promise<void>;
}
