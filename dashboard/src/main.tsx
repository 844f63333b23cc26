import { render } from "preact";
import { App } from "./App";
import { listenForKeys } from "./parts/keys";
import { takePulse } from "./pulse";
import { beginStream } from "./stream";
import "./style.css";

const place = document.getElementById("app");
if (place !== null) {
  beginStream();
  takePulse();
  listenForKeys();
  render(<App />, place);
}
