// A chat in sixty lines: sign in by password, or by a token of your own app in `?token=`.
import { openTertulia } from "@tertulia/client";
import { TertuliaProvider, useAccount, useConversations, useTertulia, useTimeline } from "@tertulia/react";
import { useState, type FormEvent } from "react";
import { createRoot } from "react-dom/client";

const token = new URLSearchParams(location.search).get("token");
const client = openTertulia(token === null ? {} : { token });

function value(event: FormEvent<HTMLFormElement>, name: string) {
  return String(new FormData(event.currentTarget).get(name));
}

function App() {
  const account = useAccount();
  const conversations = useConversations() ?? [];
  const [open, setOpen] = useState<string | null>(null);
  if (account === undefined) return <p>Loading…</p>;
  if (account === null) return <SignIn />;
  return (
    <>
      <h1>{account.name}</h1>
      <ul>
        {conversations.map(({ id, title, peer, unread }) => (
          <li key={id}><button onClick={() => setOpen(id)}>{title ?? peer?.name} {unread > 0 && `(${unread})`}</button></li>
        ))}
      </ul>
      {open !== null && <Conversation key={open} id={open} />}
    </>
  );
}

function SignIn() {
  const { rest } = useTertulia();
  const [problem, setProblem] = useState("");
  return (
    <form onSubmit={(event) => { event.preventDefault(); rest.login(value(event, "email"), value(event, "password")).catch((error: Error) => setProblem(error.message)); }}>
      <input name="email" type="email" placeholder="E-mail" required /> <input name="password" type="password" placeholder="Password" required />
      <button>Sign in</button> {problem}
    </form>
  );
}

function Conversation({ id }: { id: string }) {
  const client = useTertulia();
  const { view, timeline } = useTimeline(id);
  return (
    <>
      {view?.hasOlder && <button onClick={() => timeline?.loadOlder()}>Older</button>}
      {view?.messages.map(({ key, senderName, body, status }) => <p key={key}><b>{senderName}</b> {body} <small>{status?.state}</small></p>)}
      <form onSubmit={(event) => { event.preventDefault(); void client.send(id, value(event, "body")); event.currentTarget.reset(); }}>
        <input name="body" placeholder="Message" required autoComplete="off" /> <button>Send</button>
      </form>
    </>
  );
}

createRoot(document.getElementById("root")!).render(<TertuliaProvider client={client}><App /></TertuliaProvider>);
