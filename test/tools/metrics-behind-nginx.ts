// examples/prometheus-nginx, started for real: its own files in a folder of their own, with free ports in place of those
// that it is written for. Nothing else of it is changed.

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Background, freePort, startInBackground } from './background.ts'
import { rawRequest } from './raw-request.ts'

export const EXAMPLE = fileURLToPath(new URL('../../examples/prometheus-nginx', import.meta.url))

/** The ports that the example's files name. */
const WRITTEN = { broker: 8420, nginx: 8090, prometheus: 9090, alertmanager: 9093 } as const
export type Ports = Readonly<Record<keyof typeof WRITTEN, number>>

const FILES = ['nginx.conf', 'prometheus.yml', 'scopes/tools/metrics.yaml'] as const

export async function freePorts(): Promise<Ports> {
  const [broker, nginx, prometheus, alertmanager] = await Promise.all([freePort(), freePort(), freePort(), freePort()])
  return { broker, nginx, prometheus, alertmanager }
}

/** The example's files in `folder`, written for these ports. Throws where they do not name each port. */
export function copyExample(folder: string, ports: Ports): void {
  cpSync(EXAMPLE, folder, { recursive: true })
  const named = new Set<keyof Ports>()
  for (const file of FILES) {
    const written = forPorts(readFileSync(join(folder, file), 'utf8'), ports)
    for (const name of written.named) named.add(name)
    writeFileSync(join(folder, file), written.text)
  }
  if (named.size !== Object.keys(WRITTEN).length) throw new Error(`the example names only ${[...named].join(', ')}`)
}

/** A text of the example with these ports in place of its own. */
export function forPorts(text: string, ports: Ports): { readonly text: string; readonly named: Set<keyof Ports> } {
  const named = new Set<keyof Ports>()
  const changed = text.replaceAll(/\b127\.0\.0\.1:(\d+)\b/g, (_, port) => {
    const name = (Object.keys(WRITTEN) as (keyof Ports)[]).find((key) => WRITTEN[key] === Number(port))
    if (name === undefined) throw new Error(`the port ${port} is none of the example's`)
    named.add(name)
    return `127.0.0.1:${ports[name]}`
  })
  return { text: changed, named }
}

/** The verifier token where nginx reads it, for its owner's eyes only. */
export function writeVerifier(folder: string, token: string): void {
  writeFileSync(join(folder, 'verifier.conf'), `proxy_set_header X-Hallpass-Verifier ${token};\n`, { mode: 0o600 })
}

export const startNginx = (command: string, folder: string, ports: Ports): Promise<Background> =>
  startInBackground(command, ['-p', `${folder}/`, '-c', 'nginx.conf'], {
    cwd: folder,
    ready: async () => (await rawRequest(`http://127.0.0.1:${ports.nginx}`, '/')).status === 403,
  })

/** With every dangerous endpoint switched on: what is refused is refused by the proxy alone. */
export const startPrometheus = (command: string, folder: string, ports: Ports): Promise<Background> =>
  startInBackground(
    command,
    [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=prometheus-data',
      `--web.listen-address=127.0.0.1:${ports.prometheus}`,
      '--web.enable-lifecycle',
      '--web.enable-admin-api',
    ],
    { cwd: folder, ready: async () => (await fetch(`http://127.0.0.1:${ports.prometheus}/-/ready`)).ok },
  )

export const startAlertmanager = (command: string, folder: string, ports: Ports): Promise<Background> =>
  startInBackground(
    command,
    [
      '--config.file=alertmanager.yml',
      '--storage.path=alertmanager-data',
      `--web.listen-address=127.0.0.1:${ports.alertmanager}`,
      '--cluster.listen-address=',
    ],
    { cwd: folder, ready: async () => (await fetch(`http://127.0.0.1:${ports.alertmanager}/-/ready`)).ok },
  )

/** How many calls Prometheus says that it has answered, its own metrics page aside. */
export async function answeredByPrometheus(ports: Ports): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${ports.prometheus}/metrics`)).text()
  const counts = page.matchAll(/^prometheus_http_requests_total\{code="\d+",handler="(?!\/metrics")[^"]*"\} (\d+)$/gm)
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}
