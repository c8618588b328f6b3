// A world for scenes in a browser: a folder, free ports, the true programs in it, and a Chromium that minds the rules.
import { spawn, execFile } from 'node:child_process';
import { mkdtempSync, mkdirSync, writeFileSync, readFileSync, existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const HAL = process.env.HAL ?? new URL('../../target/debug/hal', import.meta.url).pathname;
export const TOKEN = 'a-token-for-the-tests-that-nobody-else-uses-0123456789';
const PATIENCE = 20_000;
const LOOK_AGAIN = 25;

/** Waits until something is so: what it gives. The error says what was there instead. */
export async function eventually(what, look, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (;;) {
    let seen;
    try {
      seen = await look();
      if (seen) return seen;
    } catch (error) {
      seen = error;
    }
    if (Date.now() > end) throw new Error(`not so within ${patience / 1000} s: ${what}; there was: ${String(seen?.stack ?? seen)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN));
  }
}

export class World {
  static async begin({ nodes = ['web-1'] } = {}) {
    const world = new World();
    await world.startSupervisor();
    for (const node of nodes) await world.startAgent(node);
    return world;
  }

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'hal-ui-'));
    this.port = 0;
    this.agents = new Map();
    this.env = { PATH: process.env.PATH, HOME: this.dir, XDG_STATE_HOME: join(this.dir, 'state'), NO_COLOR: '1' };
  }

  start(name, args) {
    const child = spawn(HAL, args, { cwd: this.dir, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.said = '';
    for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (bytes) => (child.said += bytes));
    child.ended = new Promise((resolve) => child.once('exit', resolve));
    child.name = name;
    return child;
  }

  write(name, value) {
    const path = join(this.dir, name);
    writeFileSync(path, JSON.stringify(value));
    return path;
  }

  async startSupervisor() {
    const folder = join(this.dir, 'supervisor');
    mkdirSync(folder, { recursive: true });
    rmSync(join(folder, 'ctl.json'), { force: true });
    const config = this.write('supervisor.json', {
      server: { bind: '127.0.0.1', port: this.port, auth_token: TOKEN, heartbeat_interval_sec: 1, heartbeat_timeout_count: 5 },
      database: { path: join(folder, 'supervisor.db') },
      security: { tls: { enabled: false } },
    });
    this.supervisor = this.start('supervisor', ['supervisor', '--config', config]);
    await eventually('the supervisor is ready', () => existsSync(join(folder, 'ctl.json')) || this.supervisor.said);
    this.port = await eventually('its port is known', () => Number(new URL(JSON.parse(readFileSync(join(folder, 'ctl.json'), 'utf8')).url).port));
  }

  async killSupervisor() {
    this.supervisor.kill('SIGKILL');
    await this.supervisor.ended;
  }

  async startAgent(node, project = 'shop') {
    const home = join(this.dir, node);
    mkdirSync(join(home, project), { recursive: true });
    mkdirSync(join(home, 'data'), { recursive: true });
    const config = this.write(`${node}.json`, {
      supervisor_url: `ws://127.0.0.1:${this.port}`,
      auth_token: TOKEN,
      node_id: node,
      data_dir: join(home, 'data'),
      projects: [{ name: project, directory: join(home, project), backend: 'echo' }],
    });
    this.agents.set(node, this.start(node, ['agent', '--config', config]));
    await eventually(`${node} is online`, async () => (await this.get(`nodes/${node}`)).status === 'online');
  }

  get url() {
    return `http://127.0.0.1:${this.port}/`;
  }

  async api(method, path, body, token = TOKEN) {
    const response = await fetch(`${this.url}api/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    return { status: response.status, ...answer };
  }

  async get(path) {
    const answer = await this.api('GET', path);
    if (answer.error) throw new Error(answer.error);
    return answer.data;
  }

  async post(path, body) {
    const answer = await this.api('POST', path, body);
    if (answer.error) throw new Error(answer.error);
    return answer.data;
  }

  /** Begins a session: its name. */
  async session(prompt, { project = 'shop', node } = {}) {
    const where = node ? { node_id: node } : {};
    const command = await this.post('commands', { type: 'create_session', project, ...where, args: { prompt } });
    return command.output;
  }

  /** Begins a session that asks for this: the approval. */
  async ask(text, more = {}) {
    const session = await this.session(`say thinking about it; ask ${text}; say done`, more);
    return eventually('it asks', async () => (await this.get(`approvals?session_id=${session}`))[0]);
  }

  /** A user with a token. */
  async user(name, role) {
    await this.api('PUT', `actors/${name}`, { role });
    return (await this.post(`actors/${name}/tokens`, {})).token;
  }

  /** What halctl prints. */
  async ctl(...args) {
    const env = { ...this.env, HALCTL_SUPERVISOR_URL: this.url, HALCTL_AUTH_TOKEN: TOKEN };
    const { stdout } = await promisify(execFile)(HAL, ['ctl', ...args], { env, cwd: this.dir });
    return stdout;
  }

  async end() {
    for (const program of [...this.agents.values(), this.supervisor]) {
      program.kill('SIGCONT');
      program.kill('SIGKILL');
      await program.ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Browsers' windows that mind: what breaks a policy, throws, or asks another host fails the scene. */
export class Windows {
  constructor(browser) {
    this.browser = browser;
    this.contexts = [];
    this.faults = [];
  }

  async context(world, { width = 1280, scheme = 'light', base = world.url } = {}) {
    const isPhone = width < 640;
    const context = await this.browser.newContext({
      viewport: { width, height: isPhone ? 844 : 900 },
      colorScheme: scheme,
      isMobile: isPhone,
      hasTouch: isPhone,
      baseURL: base,
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
    });
    this.contexts.push(context);
    if (process.env.HAL_UI_DIST) {
      // The page as it was built last, in place of the executable's: for whoever changes it.
      const dist = new URL('../../assets/dashboard/dist/assets/', import.meta.url).pathname;
      for (const part of ['main.js', 'main.css']) await context.route(new RegExp(`/assets/${part}\\?v=`), (route) => route.fulfill({ path: dist + part }));
    }
    await context.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`POLICY ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
      );
    });
    const own = new URL(base).host;
    context.on('request', (request) => {
      const url = new URL(request.url());
      if (url.host !== own && !['data:', 'about:', 'blob:'].includes(url.protocol) && !this.foreign?.includes(url.host)) {
        this.faults.push(`a request left the origin: ${request.url()}`);
      }
    });
    context.on('page', (page) => {
      page.on('pageerror', (error) => this.faults.push(`page error: ${error.stack}`));
      page.on('dialog', (dialog) => this.faults.push(`a dialog: ${dialog.message()}`));
      page.on('console', (message) => {
        if (message.text().startsWith('POLICY') || message.text().includes('Content Security Policy')) {
          this.faults.push(message.text());
        }
      });
    });
    return context;
  }

  /** A page that is logged in with this token. */
  async page(world, { token = TOKEN, path = '', ...how } = {}) {
    const context = await this.context(world, how);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const base = how.base ?? world.url;
    const login = await context.request.post(`${base}api/v1/login`, { data: { token }, headers: { Origin: new URL(base).origin } });
    if (!login.ok()) throw new Error(`login: ${await login.text()}`);
    await page.goto(base + path);
    await page.locator('.state.live').waitFor();
    return page;
  }

  async end() {
    for (const context of this.contexts) await context.close().catch(() => undefined);
    return this.faults;
  }
}
