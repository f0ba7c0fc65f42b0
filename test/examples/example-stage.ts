// A broker with the sample manifests and the example's ticket desk in a process of its own, for running the examples as
// their READMEs say.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { SAMPLE_OWNERS, type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { createPerson, type Person } from '../../src/demo/person.ts'
import { expectShape, until } from '../../src/demo/steps.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export type ExampleStage = {
  readonly broker: SampleBroker
  readonly owner: Person
  readonly deskUrl: string
  /** Waits for the next request and approves it. */
  approveNext(): Promise<void>
  close(): Promise<void>
}

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** The n-th shell block of an example's README, its placeholders replaced; each must be there. */
export function fromReadme(example: string, n: number, values: Readonly<Record<string, string>> = {}): string {
  const text = readFileSync(join(ROOT, 'examples', example, 'README.md'), 'utf8')
  let block = [...text.matchAll(/^```sh\n(.*?)^```$/gms)][n]?.[1]
  if (block === undefined) throw new Error(`the README of ${example} has no shell block ${n}`)
  for (const [placeholder, value] of Object.entries(values)) {
    if (!block.includes(placeholder)) throw new Error(`the README of ${example} does not say ${placeholder}`)
    block = block.replaceAll(placeholder, value)
  }
  return block
}

/** In a group of its own, so that whatever it starts ends with it. */
function start(script: string, env: Readonly<Record<string, string>>): ChildProcess {
  const path = `${join(ROOT, 'node_modules', '.bin')}:${ROOT}:${process.env.PATH}`
  return spawn('sh', ['-c', script], {
    cwd: ROOT,
    env: { PATH: path, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export function runScript(script: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = start(script, env)
    const said = { stdout: '', stderr: '' }
    child.stdout?.on('data', (bytes) => (said.stdout += String(bytes)))
    child.stderr?.on('data', (bytes) => (said.stderr += String(bytes)))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, ...said }))
  })
}

export async function startExampleStage(): Promise<ExampleStage> {
  const port = await freePort()
  const deskUrl = `http://127.0.0.1:${port}`
  const broker = await startSampleBroker({ resources: { tickets: deskUrl }, logLevel: 'fatal' })
  const desk = start(
    fromReadme('hono-tool', 0, {
      'http://127.0.0.1:8420': broker.url,
      'hp_verify_…': await broker.verifierToken('tickets'),
      'https://tickets.example.com': deskUrl,
    }),
    { TICKETS_PORT: String(port) },
  )
  const close = async () => {
    const ended = desk.exitCode !== null ? Promise.resolve() : new Promise((resolve) => desk.once('exit', resolve))
    if (desk.exitCode === null && desk.pid !== undefined) process.kill(-desk.pid, 'SIGTERM')
    await ended
    await broker.close()
  }
  try {
    await said(desk, `ticket desk on ${deskUrl}`)
  } catch (thrown) {
    await close()
    throw thrown
  }
  const email = SAMPLE_OWNERS.agents
  const owner = createPerson({ name: email, url: broker.url, token: await broker.ownerToken(email) })
  return {
    broker,
    owner,
    deskUrl,
    async approveNext() {
      const { value: id } = await until(
        async () => {
          const { body } = await owner.get('/requests?status=pending')
          return expectShape(Requests, body, 'requests').items[0]?.id ?? null
        },
        { withinMs: 20_000, expected: 'a request', everyMs: 100 },
      )
      const { status } = await owner.post(`/requests/${id}/approve`)
      if (status !== 200) throw new Error(`the approval was answered ${status}`)
    },
    close,
  }
}

const Requests = z.object({ items: z.array(z.object({ id: z.string() })) })

function said(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = ''
    const hear = (bytes: unknown) => {
      output += String(bytes)
      if (output.includes(text)) resolve()
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${output}`)))
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        typeof address === 'object' && address !== null ? resolve(address.port) : reject(new Error('no port')),
      )
    })
  })
}
