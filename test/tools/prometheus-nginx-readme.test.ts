// The lines of examples/prometheus-nginx/README.md, typed into a shell in a folder and home of their own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test, vi } from 'vitest'
import { startInBackground, stopAll } from './background.ts'
import { bearerIn } from './broker-process.ts'
import { installedTools } from './installed-tools.ts'
import { copyExample, EXAMPLE, forPorts, freePorts } from './metrics-behind-nginx.ts'
import { callApi, expectDone, idOf } from './people-and-agents.ts'
import { rawRequest } from './raw-request.ts'

installedTools({
  nginx: 'nginx',
  prometheus: 'prometheus',
  'prometheus-alertmanager': 'prometheus-alertmanager',
  curl: 'curl',
  bash: 'bash',
})

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const home = mkdtempSync(join(tmpdir(), 'hallpass-readme-'))
const folder = join(home, 'prometheus-nginx')

afterAll(async () => {
  await stopAll()
  rmSync(home, { recursive: true, force: true })
})

test('the README starts a guarded Prometheus, queries it as an agent, and locks the agent out (P5)', async () => {
  const ports = await freePorts()
  const readme = forPorts(readFileSync(join(EXAMPLE, 'README.md'), 'utf8'), ports).text
  const [setUp = '', use = ''] = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
  const copying = 'cp -r examples/prometheus-nginx ~/prometheus-nginx\n'
  expect(setUp).toContain(copying)
  mkdirSync(folder)
  copyExample(folder, ports)

  const env = { HOME: home, XDG_CONFIG_HOME: '', HALLPASS_PORT: String(ports.broker), HALLPASS_LOG: 'warn' }
  const nginx = `http://127.0.0.1:${ports.nginx}`
  const stage = await startInBackground('bash', ['-ec', `trap wait TERM\n${setUp.replace(copying, '')}\nwait`], {
    cwd: ROOT,
    env,
    ready: async () =>
      (await rawRequest(nginx, '/')).status === 403 &&
      (await fetch(`http://127.0.0.1:${ports.prometheus}/-/ready`)).ok &&
      (await fetch(`http://127.0.0.1:${ports.alertmanager}/-/ready`)).ok,
  })

  const agent = spawn('bash', ['-ec', use], {
    cwd: folder,
    env: { ...process.env, ...env, PATH: `${ROOT}:${process.env.PATH}` },
  })
  const closed = once(agent, 'close')
  let said = ''
  for (const stream of [agent.stdout, agent.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
  const issuer = `http://127.0.0.1:${ports.broker}`
  const owner = bearerIn(stage.output(), 'owner')
  const request = await vi.waitUntil(
    async () => {
      if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}: ${said}`)
      const { items } = await expectDone(callApi(issuer, owner, '/requests?status=pending'))
      return Array.isArray(items) ? items[0] : null
    },
    { timeout: 20_000, interval: 100 },
  )
  await expectDone(callApi(issuer, owner, `/requests/${idOf(request)}/approve`, {}))
  const [code] = await closed

  expect(said).toContain('"status":"success"')
  expect([...said.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status)).toEqual(['403', '403', '401'])
  expect(said).toContain('Locked agent/query-bot')
  expect(code, said).toBe(0)
})
