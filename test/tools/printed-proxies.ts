// nginx, HAProxy, Caddy and Apache, each started with what `hallpass tool snippet` printed for it: the text itself, with
// the test's own folder in place of /etc/hallpass and, where a test says so, broken on purpose.

import { execFile } from 'node:child_process'
import { createPublicKey } from 'node:crypto'
import { appendFileSync, chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { type Background, freePort, startInBackground } from './background.ts'
import { installedTools } from './installed-tools.ts'
import { rawRequest } from './raw-request.ts'

const run = promisify(execFile)

export const programs = installedTools({
  nginx: 'nginx',
  haproxy: 'haproxy',
  caddy: 'caddy',
  apache2: 'apache2',
  openssl: 'openssl',
})

export const PROXIES = ['nginx', 'haproxy', 'caddy', 'apache'] as const
export type Proxied = (typeof PROXIES)[number]

export type Printed = {
  /** Of its own; what the text reads lies below it. */
  readonly folder: string
  readonly tool: string
  readonly port: number
  readonly issuer: string
  /** What was printed, as it is to be run. */
  readonly text: string
  readonly verifier: string
}

/** Its answer to a stranger is a refusal once it stands. */
const ready = (port: number) => async () => (await rawRequest(`http://127.0.0.1:${port}`, '/nowhere')).status < 500

export async function startPrinted(proxy: Proxied, printed: Printed): Promise<Background> {
  const { folder, tool, port } = printed
  mkdirSync(join(folder, 'hallpass', tool), { recursive: true })
  const text = printed.text.replaceAll('/etc/hallpass', join(folder, 'hallpass'))
  const secret = (line: string, name: string) =>
    writeFileSync(join(folder, 'hallpass', `${tool}-verifier.${name}`), `${line}\n`, { mode: 0o600 })
  const write = (name: string, content: string) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  switch (proxy) {
    case 'nginx': {
      secret(`proxy_set_header X-Hallpass-Verifier ${printed.verifier};`, 'nginx')
      const path = write('nginx.conf', inNginx(text))
      await run(programs.nginx, ['-t', '-p', `${folder}/`, '-c', path])
      return startInBackground(programs.nginx, ['-p', `${folder}/`, '-c', path], { cwd: folder, ready: ready(port) })
    }
    case 'haproxy': {
      await writeKeys(folder, tool, printed.issuer)
      writeFileSync(deniedOf(folder, tool), '')
      const path = write('haproxy.cfg', inHaproxy(text, folder))
      await run(programs.haproxy, ['-c', '-f', path])
      return startInBackground(programs.haproxy, ['-db', '-f', path], { cwd: folder, ready: ready(port) })
    }
    case 'caddy': {
      secret(`header_up X-Hallpass-Verifier ${printed.verifier}`, 'caddy')
      const path = write('Caddyfile', `{\n\tadmin off\n\tauto_https off\n}\n${text}`)
      const env = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder }
      await run(programs.caddy, ['validate', '--adapter', 'caddyfile', '--config', path], { env })
      const args = ['run', '--adapter', 'caddyfile', '--config', path]
      return startInBackground(programs.caddy, args, { cwd: folder, env, ready: ready(port) })
    }
    case 'apache': {
      secret(`OIDCOAuthClientSecret ${printed.verifier}`, 'apache')
      const path = write('apache.conf', inApache(text, folder, port))
      await run(programs.apache2, ['-t', '-f', path])
      return startInBackground(programs.apache2, ['-D', 'FOREGROUND', '-f', path], { cwd: folder, ready: ready(port) })
    }
  }
}

const inNginx = (text: string): string => `daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path temp-body;
  proxy_temp_path temp-proxy;
  fastcgi_temp_path temp-fastcgi;
  uwsgi_temp_path temp-uwsgi;
  scgi_temp_path temp-scgi;
${text}
}
`

const inHaproxy = (text: string, folder: string): string => `global
  stats socket ${join(folder, 'admin.sock')} mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
${text}
`

const APACHE_MODULES = ['mpm_event', 'authn_core', 'authz_core', 'headers', 'proxy', 'proxy_http', 'auth_openidc']

const inApache = (text: string, folder: string, port: number): string => `ServerRoot ${folder}
PidFile ${join(folder, 'apache.pid')}
Listen 127.0.0.1:${port}
ErrorLog ${join(folder, 'apache.log')}
ServerName 127.0.0.1
${process.getuid?.() === 0 ? 'User www-data\nGroup www-data' : ''}
${APACHE_MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
OIDCCABundlePath ${join(folder, 'front.crt')}
${text}
`

const deniedOf = (folder: string, tool: string): string => join(folder, 'hallpass', tool, 'denied.lst')

/** As the printed comment does it. */
async function writeKeys(folder: string, tool: string, issuer: string): Promise<void> {
  const answer = await fetch(`${issuer}/.well-known/jwks.json`)
  const { keys } = (await answer.json()) as { keys: readonly { readonly alg: string }[] }
  const ours = keys.filter((key) => key.alg === 'ES256')
  for (const [name, key] of [
    ['key-1', ours[0]!],
    ['key-2', ours.at(-1)!],
  ] as const)
    writeFileSync(
      join(folder, 'hallpass', tool, `${name}.pem`),
      createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' }),
    )
}

/** Puts what the guard feed denies into HAProxy's list, as the printed comment asks for. */
export function feedDenials(folder: string, tool: string, issuer: string, verifier: string): () => void {
  const life = new AbortController()
  const list = deniedOf(folder, tool)
  const follow = async () => {
    const answer = await fetch(`${issuer}/guard/feed?after=0`, {
      headers: { 'X-Hallpass-Verifier': verifier },
      signal: life.signal,
    })
    let rest = ''
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const deny: unknown = line.startsWith('data:') ? JSON.parse(line.slice('data:'.length)).deny : undefined
        for (const name of Object.values(deny ?? {})) {
          appendFileSync(list, `${name}\n`)
          await toSocket(join(folder, 'admin.sock'), `add acl ${list} ${name}\n`)
        }
      }
    }
  }
  follow().catch((thrown: unknown) => {
    if (!life.signal.aborted) throw thrown
  })
  return () => life.abort()
}

const toSocket = (path: string, line: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(line))
    socket.resume()
    socket.once('error', reject)
    socket.once('close', () => resolve())
  })

/** TLS in front of a broker that has none: Apache introspects over nothing else. The certificate is `front.crt`. */
export async function startTlsFront(folder: string, issuer: string): Promise<{ readonly url: string; stop(): void }> {
  const [key, certificate] = [join(folder, 'front.key'), join(folder, 'front.crt')]
  await run(programs.openssl, [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ])
  // Apache reads it as www-data.
  for (const above of [dirname(folder), folder]) chmodSync(above, 0o711)
  const port = await freePort()
  mkdirSync(join(folder, 'front'), { recursive: true })
  const path = join(folder, 'front', 'nginx.conf')
  writeFileSync(
    path,
    inNginx(
      `server { listen 127.0.0.1:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key}; location / { proxy_pass ${issuer}; proxy_set_header Host ${new URL(issuer).host}; } }`,
    ),
  )
  const front = await startInBackground(programs.nginx, ['-p', `${join(folder, 'front')}/`, '-c', path], {
    cwd: folder,
    ready: async () => {
      await toPort(port)
      return true
    },
  })
  return { url: `https://127.0.0.1:${port}`, stop: () => void front.stop() }
}

const toPort = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })

/** A tool that answers with what it was asked. */
export async function startEcho(): Promise<{ readonly port: number; close(): void }> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.rawHeaders }))
  })
  const port = await freePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return { port, close: () => server.close() }
}
