import { connect, createServer, type Server, type Socket } from "node:net";

/** A line between one browser and the server that can be cut: what is open breaks, what comes is refused. */
export class Link {
  readonly #open = new Set<Socket>();
  #isCut = false;
  #server: Server | null = null;
  url = "";

  static async to(target: string): Promise<Link> {
    const { hostname, port } = new URL(target);
    const link = new Link();
    const server = createServer((near) => {
      if (link.#isCut) return void near.destroy();
      const far = connect(Number(port), hostname);
      for (const [one, other] of [[near, far], [far, near]] as const) {
        link.#open.add(one);
        one.on("error", () => {});
        one.on("close", () => {
          link.#open.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    link.#server = server;
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("a link without a port");
    link.url = `http://127.0.0.1:${address.port}`;
    return link;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#open) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  close(): void {
    this.cut();
    this.#server?.close();
  }
}
