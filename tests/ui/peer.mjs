// A node in a scene's own hands: it says as an agent what no coding agent would say so soon, such as ten thousand sessions.
import { createRequire } from 'node:module';
import { TOKEN, eventually } from './world.mjs';

const { ws } = createRequire(import.meta.url)('playwright-core/lib/utilsBundle');

/** Events in a frame. */
const BATCH = 500;

export class Peer {
  static async join(world, node, token = TOKEN) {
    const peer = new Peer();
    peer.node = node;
    peer.seq = 0;
    peer.acknowledged = 0;
    peer.socket = new ws(`ws://127.0.0.1:${world.port}/ws/agent`, { headers: { Authorization: `Bearer ${token}` } });
    peer.socket.on('error', () => undefined);
    peer.socket.on('message', (bytes) => {
      const frame = JSON.parse(bytes);
      if (frame.type === 'welcome') peer.isWelcome = true;
      if (frame.type === 'ack') peer.acknowledged = Math.max(peer.acknowledged, frame.payload.seq);
    });
    await new Promise((resolve, reject) => {
      peer.socket.once('open', resolve);
      peer.socket.once('close', () => reject(new Error('it was not let in')));
    });
    const projects = [{ name: 'shop', directory: '/srv/shop', backend: 'echo' }];
    peer.say('hello', { protocol: 2, node_id: node, hostname: node, version: '0.0.0', capabilities: [], incarnation: `incarnation-of-${node}`, first_seq: 0, last_seq: 0, projects });
    await eventually(`${node} is welcome`, () => peer.isWelcome);
    peer.beats = setInterval(() => peer.say('heartbeat', {}), 1_000);
    return peer;
  }

  say(type, payload) {
    this.socket.send(JSON.stringify({ version: 1, type, request_id: '', timestamp: Math.floor(Date.now() / 1000), payload }));
  }

  /** Tells of events, `[session, type, data]` each, and waits until they are stored. */
  async tell(events, patience = 120_000) {
    for (let at = 0; at < events.length; at += BATCH) {
      const batch = events.slice(at, at + BATCH).map(([session_id, type, data]) => {
        this.seq += 1;
        return { seq: this.seq, id: `${this.node}-${this.seq}`, type, session_id, project: 'shop', occurred_at: Date.now(), data };
      });
      this.say('events', { incarnation: `incarnation-of-${this.node}`, events: batch });
    }
    await eventually('all of it is stored', () => this.acknowledged >= this.seq, patience);
  }

  end() {
    clearInterval(this.beats);
    this.socket.terminate();
  }
}
