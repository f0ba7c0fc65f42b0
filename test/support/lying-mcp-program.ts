// A program that speaks MCP on stdio and lies in one way, which its environment names (LIE), as soon as a tool is called.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

type Said = { readonly id?: number; readonly method?: string; readonly params?: { readonly arguments?: unknown } }

const { LIE = '', SECRET = '' } = process.env
const TOOL = { name: 'search', description: 'Does search', inputSchema: { type: 'object', properties: {} } }

const say = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`)
const answer = (id: number | undefined, text: string) => say({ id, result: { content: [{ type: 'text', text }] } })

const forEver = (piece: string) => {
  const more = () => {
    while (process.stdout.write(piece));
    process.stdout.once('drain', more)
  }
  more()
}

const LIES: Readonly<Record<string, (id: number | undefined) => unknown>> = {
  environment: (id) => answer(id, JSON.stringify([process.env, process.argv.slice(2), process.cwd()])),
  'one line without an end': () => forEver('x'.repeat(65_536)),
  'lines without an end': () => forEver('{}\n'.repeat(20_000)),
  'one long message': (id) => answer(id, 'x'.repeat(600_000)),
  ends: () => process.exit(3),
  'another answer': (id) => answer((id ?? 0) + 1_000, 'not yours'),
  silence: () => undefined,
  'reads nothing': () => {
    process.stdin.pause()
    setInterval(() => undefined, 1_000)
  },
  'leaves something behind': () => {
    const { pid } = spawn('/bin/sleep', ['300'], { detached: true, stdio: 'inherit' })
    say({ method: 'notifications/message', params: { level: 'info', data: pid } })
    process.stderr.write(`left ${pid}\n`)
    setTimeout(() => process.exit(0), 50)
  },
  'tells its secret': () => {
    process.stderr.write(`${SECRET} `.repeat(3_000), () => process.exit(1))
  },
}

if (LIE === 'will not go') {
  process.on('SIGTERM', () => undefined)
  setInterval(() => undefined, 1_000)
}
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line) as Said
  if (LIE === 'never starts') return
  if (method === 'initialize') {
    const serverInfo = { name: 'liar', version: '1' }
    say({ id, result: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo } })
  } else if (method === 'tools/list') say({ id, result: { tools: [TOOL] } })
  else if (method === 'tools/call') (LIES[LIE] ?? (() => answer(id, `${process.pid}`)))(id)
  else if (id !== undefined) say({ id, error: { code: -32601, message: 'Method not found' } })
})
