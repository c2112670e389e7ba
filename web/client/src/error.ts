/**
 * Stable `code`: one of the server's (`unauthenticated`, `forbidden`, `not_found`, `invalid`, `too_large`, `rate_limited`, `conflict`, `out_of_order`,
 * `gone`, `unavailable`), or `unreachable` (whether the server did it is not known), `closed`, `store` (the local database), `newer_version` (reload the
 * page). `detail` is for people who read logs.
 */
export class TertuliaError extends Error {
  override readonly name = "TertuliaError";

  constructor(
    readonly code: string,
    readonly detail: string,
    readonly retryAfterMs: number | null = null,
  ) {
    super(`${code}: ${detail}`);
  }
}
