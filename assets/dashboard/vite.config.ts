// How the dashboard is built: one script and one style sheet with plain names, readable, the same bytes everywhere.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vite';

const here = import.meta.dirname;

/** Everything that the build depends on: tests/it/tidy.rs computes the same hash. */
function sources(): string[] {
  const below = (folder: string): string[] =>
    readdirSync(join(here, folder), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? below(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
    );
  const loose = ['index.html', 'package.json', 'package-lock.json', 'tsconfig.json', 'vite.config.ts'];
  return [...below('src'), ...below('public'), ...loose].sort();
}

function hashOfSources(): string {
  const all = createHash('sha256');
  for (const name of sources()) {
    const of = createHash('sha256').update(readFileSync(join(here, name))).digest('hex');
    all.update(`${name} ${of}\n`);
  }
  return all.digest('hex');
}

/** The licences of what is built in. */
function notices(): string {
  const packages = ['preact', '@preact/signals', '@preact/signals-core'];
  const text = (name: string) => {
    const folder = join(here, 'node_modules', name);
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
    return `${name} ${version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8').trim()}\n`;
  };
  return packages.map(text).join('\n\n');
}

export default defineConfig(() => {
  const hash = hashOfSources();
  return {
    root: here,
    base: './',
    define: { __BUILD__: JSON.stringify(hash.slice(0, 16)) },
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      target: 'es2022',
      minify: false,
      cssMinify: false,
      modulePreload: false,
      reportCompressedSize: false,
      rollupOptions: {
        output: {
          entryFileNames: 'assets/main.js',
          assetFileNames: 'assets/main[extname]',
        },
      },
    },
    plugins: [
      {
        name: 'source-and-notices',
        closeBundle() {
          writeFileSync(join(here, 'dist/SOURCE'), `${hash}\n`);
          writeFileSync(join(here, 'dist/NOTICES'), notices());
        },
      },
    ],
  };
});
