// Puts load on a server from this process: raw sockets that are kept alive, requests that were made before, answers read
// only as far as counting them needs. It must never be the slower side, and it says how busy it was.

import { connect, type Socket } from 'node:net'

export type Aim = {
  readonly port: number
  /** Whole requests, bytes and all; each connection goes round them from a place of its own. */
  readonly requests: readonly Buffer[]
  /** In every good answer's body. Without it only the status 200 counts. */
  readonly marker?: string
}

export type Fired = {
  readonly answers: number
  readonly seconds: number
  /** Milliseconds, sorted. */
  readonly latencies: Float64Array
  /** Answers that were not the expected one, by status; the first body of each. */
  readonly odd: ReadonlyMap<number, { count: number; readonly body: string }>
  /** Share of one core that this process used. */
  readonly busy: number
}

/** A request as HTTP/1.1 sends it, keep-alive. */
export function httpRequest(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, 'host: 127.0.0.1']
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
  if (body !== undefined) lines.push(`content-length: ${Buffer.byteLength(body)}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`)
}

/** Keeps `concurrency` requests in flight for `milliseconds`, or `most` answers; whoever is answered asks again at once. */
export async function fire(
  aim: Aim,
  concurrency: number,
  milliseconds: number,
  most = Number.POSITIVE_INFINITY,
): Promise<Fired> {
  const sockets = await Promise.all(Array.from({ length: concurrency }, () => opened(aim.port)))
  const latencies: number[] = []
  const odd = new Map<number, { count: number; readonly body: string }>()
  const marker = aim.marker === undefined ? null : Buffer.from(aim.marker)
  const cpu = process.cpuUsage()
  const began = performance.now()
  const until = began + milliseconds
  await Promise.all(
    sockets.map(
      (socket, index) =>
        new Promise<void>((resolve, reject) => {
          let next = index % aim.requests.length
          let sent = 0
          const send = () => {
            sent = performance.now()
            socket.write(aim.requests[next]!)
            next = (next + concurrency) % aim.requests.length
          }
          readAnswers(socket, (status, body) => {
            const now = performance.now()
            latencies.push(now - sent)
            if (status !== 200 || (marker !== null && !body.includes(marker))) {
              const known = odd.get(status)
              if (known === undefined) odd.set(status, { count: 1, body: body.toString('utf8').slice(0, 500) })
              else known.count++
            }
            if (now < until && latencies.length < most) send()
            else resolve()
          })
          socket.on('error', reject)
          socket.on('close', () => reject(new Error('the server closed a connection')))
          send()
        }),
    ),
  )
  const seconds = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(cpu)
  for (const socket of sockets) {
    socket.removeAllListeners()
    socket.destroy()
  }
  return {
    answers: latencies.length,
    seconds,
    latencies: Float64Array.from(latencies).sort(),
    odd,
    busy: (user + system) / 1e6 / seconds,
  }
}

export const percentile = (sorted: Float64Array | readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

const HEAD_END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n')

/** One answer at a time, by Content-Length or chunked. */
export function readAnswers(socket: Socket, onAnswer: (status: number, body: Buffer) => void): void {
  let held: Buffer | null = null
  socket.on('data', (chunk: Buffer) => {
    const all = held === null ? chunk : Buffer.concat([held, chunk])
    held = all
    const headEnd = all.indexOf(HEAD_END)
    if (headEnd === -1) return
    const head = all.toString('latin1', 0, headEnd)
    const body = headEnd + HEAD_END.length
    const [, length] = /\r\ncontent-length: *(\d+)/i.exec(head) ?? []
    const isWhole =
      length === undefined
        ? !/\r\ntransfer-encoding: *chunked/i.test(head) || all.indexOf(LAST_CHUNK, headEnd) !== -1
        : all.length >= body + Number(length)
    if (!isWhole) return
    held = null
    onAnswer(Number(head.slice(9, 12)), all.subarray(body))
  })
}
