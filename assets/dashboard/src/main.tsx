// The dashboard begins here.
import { render } from 'preact';
import { App } from './app';
import * as keys from './keys';
import * as socket from './live/socket';
import { begin } from './nouns/login';
import { dress } from './nouns/me';
import * as route from './route';
import './style/main.css';
import './style/fleet.css';
import './style/session.css';
import './style/rest.css';

dress();
route.watch();
keys.watch();
socket.watch();
const place = document.getElementById('app');
if (place) {
  place.replaceChildren();
  render(<App />, place);
}
void begin();
