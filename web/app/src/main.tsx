import { openTertulia } from "@tertulia/client";
import { TertuliaProvider } from "@tertulia/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { TextProvider } from "./i18n/useText";
import { listenToWorker } from "./notify/fromWorker";
import { App } from "./shell/App";
import { Boundary } from "./shell/Boundary";
import { watchForUpdates } from "./shell/updates";
import "./styles/app.css";

const client = openTertulia();
watchForUpdates();
listenToWorker(client);
// Whoever has signed in is connected; nobody has: the server says so, and the sign-in page is there already.
client.connect().catch(() => {});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <TextProvider>
      <Boundary>
        <TertuliaProvider client={client}>
          <App />
        </TertuliaProvider>
      </Boundary>
    </TextProvider>
  </StrictMode>,
);
