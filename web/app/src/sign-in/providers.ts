/** A place where people may sign in instead, such as Google. */
export interface Provider {
  id: string;
  name: string;
}

/** Those the server was configured with, as it wrote them into the page: `google=Google, acme=Acme`. */
export function providersOf(content: string): Provider[] {
  return content.split(",").flatMap((entry) => {
    const [id = "", name = ""] = entry.split("=").map((part) => part.trim());
    return /^[a-z0-9_-]+$/u.test(id) && name !== "" ? [{ id, name }] : [];
  });
}

export function configuredProviders(): Provider[] {
  return providersOf(document.querySelector('meta[name="tertulia-providers"]')?.getAttribute("content") ?? "");
}
