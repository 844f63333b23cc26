// The page that the route names, inside the shell, once it is known who looks.
import { useLayoutEffect, useState } from "preact/hooks";
import { askLogin } from "./api/auth";
import { login } from "./api/login";
import { type Failure, failureText } from "./api/outcome";
import { Destinations } from "./pages/Destinations";
import { Events } from "./pages/Events";
import { Overview } from "./pages/Overview";
import { Rejections } from "./pages/Rejections";
import { Rules } from "./pages/Rules";
import { Sessions } from "./pages/Sessions";
import { System } from "./pages/System";
import { Users } from "./pages/Users";
import { Announcer } from "./parts/Announcer";
import { Help } from "./parts/Help";
import { LoginForm } from "./parts/Login";
import { Shell } from "./parts/Shell";
import { Trouble } from "./parts/State";
import { type PageName, route } from "./routes";
import { stream } from "./stream";

export function App() {
  const now = login.value;
  return (
    <>
      {now.kind === "out" && <LoginForm expired={now.expired} />}
      {now.kind === "in" && (
        <Shell retry={() => stream.retry()}>
          <PageOf page={route.value.page} />
        </Shell>
      )}
      {now.kind === "asking" && <Asking />}
      <Help />
      <Announcer />
    </>
  );
}

/** Until the server has said whether a login is needed. */
function Asking() {
  const [failure, setFailure] = useState<Failure | null>(null);
  const ask = (): void => {
    setFailure(null);
    void askLogin().then(setFailure);
  };
  // Once, when the page opens: before anything is painted.
  useLayoutEffect(ask, []);
  return (
    <main class="login">
      {failure === null ? (
        <p class="quiet">Connecting…</p>
      ) : (
        <Trouble text={failureText(failure)} again={ask} />
      )}
    </main>
  );
}

function PageOf({ page }: { page: PageName }) {
  switch (page) {
    case "overview":
      return <Overview />;
    case "sessions":
      return <Sessions />;
    case "users":
      return <Users />;
    case "destinations":
      return <Destinations />;
    case "rejections":
      return <Rejections />;
    case "rules":
      return <Rules />;
    case "events":
      return <Events />;
    case "system":
      return <System />;
    default:
      return page satisfies never;
  }
}
