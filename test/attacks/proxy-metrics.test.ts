// What is measured of calls through the proxy, whatever agents call: no label is theirs to make.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { answerWhatWasAsked, type ProxyStage, proxyStage } from './proxy-stage.ts'

let s: ProxyStage
beforeAll(async () => {
  s = await proxyStage()
})
afterAll(() => s.close())

const countOf = async (series: string) => {
  const line = (await s.metrics()).split('\n').find((one) => one.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

test('calls are counted by tool, class of status and end, with how long they took, and none is left under way', async () => {
  s.does = answerWhatWasAsked
  for (let left = 3; left > 0; left--) await s.call('/tools/wiki/x/a')
  s.does = (_, outgoing) => outgoing.writeHead(503).end()
  await s.call('/tools/wiki/x/a')
  s.does = (_, outgoing) => outgoing.socket?.destroy()
  await s.call('/tools/wiki/x/a')
  const total = (status: string, ended: string) =>
    countOf(`hallpass_proxied_calls_total{tool="wiki",status="${status}",ended="${ended}"}`)
  await expect.poll(() => countOf('hallpass_proxied_calls_under_way')).toBe(0)
  expect([await total('2xx', 'whole'), await total('5xx', 'whole'), await total('none', 'unreachable')]).toEqual([
    3, 1, 1,
  ])
  expect(await countOf('hallpass_proxied_call_seconds_count{tool="wiki"}')).toBe(5)
  expect(await countOf('hallpass_proxied_call_admission_seconds_count')).toBe(5)
})

test('what is refused is counted by code', async () => {
  const refused = (code: string) => countOf(`hallpass_proxied_calls_refused_total{code="${code}"}`)
  await s.call('/tools/wiki/not/allowed')
  await s.call('/tools/wiki/x/a', ['Authorization: Bearer nobody'])
  await s.call('/tools/wiki/x/../y')
  expect([
    await refused('scope_not_in_manifest'),
    await refused('unauthenticated'),
    await refused('invalid_request'),
  ]).toEqual([1, 1, 1])
})

test('a caller makes no label: neither with names of tools, paths, methods nor what a tool answers (S17)', async () => {
  s.does = (_, outgoing) => outgoing.writeHead(299, { 'X-Made': 'up-by-the-tool' }).end()
  const before = (await s.metrics()).split('\n').length
  for (let n = 0; n < 30; n++) {
    await s.call(`/tools/invented-${n}/x/a`)
    await s.call(`/tools/other/x/path-${n}`, undefined)
    await s.call(`/tools/wiki/x/a?query-${n}=1`, undefined, n % 2 === 0 ? 'GET' : `METHOD${n}`)
  }
  const text = await s.metrics()
  expect(text).not.toMatch(/invented|path-|query-|METHOD|up-by|bot|grt_|299/)
  // At most the series of one more code or two.
  expect(text.split('\n').length - before).toBeLessThan(6)
  expect(await countOf('hallpass_proxied_calls_total{tool="wiki",status="2xx",ended="whole"}')).toBe(18)
})
