// A call to a tool against servers that do whatever they like.

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createSocketServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { mayCall } from '../../../src/actions/tool-address.ts'
import { httpCall } from '../../../src/adapters/targets/http-call.ts'
import { TargetFailure } from '../../../src/core/target.ts'

const LIMITS = { timeoutMs: 5000, maxBytes: 1000 }
const call = httpCall(LIMITS)
const request = (url: string, body = '') => ({ method: body === '' ? 'GET' : 'POST', url, headers: {}, body })
const never = () => new AbortController().signal

async function listen(
  server: ReturnType<typeof createServer> | ReturnType<typeof createSocketServer>,
): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}
const serve = (listener: RequestListener) => listen(createServer(listener))
/** Answers every connection with these bytes and closes it. */
const say = (bytes: string) =>
  listen(
    createSocketServer((socket: Socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => socket.end(bytes))
    }),
  )
const failureOf = async (doing: Promise<unknown>): Promise<TargetFailure> => {
  const thrown: unknown = await doing.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error,
  )
  if (!(thrown instanceof TargetFailure)) throw thrown
  return thrown
}

describe('an answer', () => {
  test('is given as it is, a redirect too, which is not followed (S21)', async () => {
    const paths: string[] = []
    const url = await serve((asked, answer) => {
      paths.push(asked.url ?? '')
      answer.writeHead(302, { location: '/elsewhere', 'set-cookie': ['a=1', 'b=2'] }).end('moved')
    })
    const answer = await call(request(`${url}/here?x=1`), never())
    expect(answer).toMatchObject({ status: 302, text: 'moved', headers: { location: '/elsewhere' } })
    expect(answer.headers['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(paths).toEqual(['/here?x=1'])
  })

  test('that ends twice is whole, as Request Tracker gives it', async () => {
    const head = 'HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n'
    const url = await say(`${head}0\r\n\r\n0\r\n\r\n`)
    expect(await call(request(url, 'a=1'), never())).toMatchObject({ status: 302, text: '' })
  })

  test.each([
    ['longer than allowed', `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${'x'.repeat(1001)}`, 'garbled'],
    ['that is no UTF-8', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\u00e9', 'garbled'],
    ['cut off', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx', 'unreachable'],
    ['cut off in a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx', 'unreachable'],
    ['that is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'unreachable'],
    ['that is nothing', '', 'unreachable'],
  ] as const)('%s is none, and the tool may have acted', async (what, bytes, why) => {
    const server = createSocketServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => socket.end(Buffer.from(bytes, 'latin1')))
    })
    expect(await failureOf(call(request(await listen(server), 'a=1'), never())), what).toMatchObject({
      why,
      mayHaveActed: true,
    })
  })

  test('is waited for no longer than allowed, from the first byte asked to the last one given', async () => {
    const url = await serve((_, answer) => answer.writeHead(200).write('a'))
    const brief = httpCall({ ...LIMITS, timeoutMs: 200 })
    expect(await failureOf(brief(request(url), never()))).toMatchObject({ why: 'timeout', mayHaveActed: true })
    const gone = await failureOf(call(request(url), AbortSignal.abort()))
    expect(gone).toMatchObject({ why: 'timeout', mayHaveActed: false })
  })
})

describe('where a call goes (S21)', () => {
  test.each([
    ['http:', '127.0.0.1', true],
    ['http:', '::1', true],
    ['http:', '127.8.9.1', true],
    ['http:', '10.0.0.1', false],
    ['http:', '93.184.216.34', false],
    ['http:', '2001:db8::1', false],
    ['https:', '10.0.0.1', true],
    ['https:', '93.184.216.34', true],
    ['https:', '127.0.0.1', true],
    ['https:', '2001:db8::1', true],
    ['https:', '169.254.169.254', false],
    ['https:', '::ffff:169.254.169.254', false],
    ['https:', 'fe80::1', false],
    ['https:', 'fd00:ec2::254', false],
    ['https:', '0.0.0.0', false],
    ['https:', '::', false],
    ['https:', '224.0.0.1', false],
    ['https:', '255.255.255.255', false],
    ['ftp:', '127.0.0.1', false],
  ] as const)('by %s to %s: %s', (protocol, address, may) => {
    expect(mayCall(protocol, address)).toBe(may)
  })

  test('a refused address is called by nobody, whether it is written or looked up', async () => {
    for (const url of ['http://10.0.0.1/', 'https://169.254.169.254/latest', 'https://[fe80::1]/', 'https://0.0.0.0/'])
      expect(await failureOf(call(request(url, 'a=1'), never()))).toMatchObject({
        why: 'unreachable',
        mayHaveActed: false,
      })
    const url = await serve((_, answer) => answer.end('here'))
    expect((await call(request(url.replace('127.0.0.1', 'localhost')), never())).text).toBe('here')
  })

  test('nobody there is unreachable, and nothing was done', async () => {
    expect(await failureOf(call(request('http://127.0.0.1:1/', 'a=1'), never()))).toMatchObject({
      why: 'unreachable',
      mayHaveActed: false,
    })
  })

  test('plain text in answer to https is unreachable, and nothing was said', async () => {
    const url = await serve((_, answer) => answer.end('here'))
    const failure = await failureOf(call(request(url.replace('http:', 'https:'), 'a=1'), never()))
    expect(failure).toMatchObject({ why: 'unreachable', mayHaveActed: false })
  })
})
