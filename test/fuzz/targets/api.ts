// Every route of /v1 as its own description lists them, by every role: paths, queries and bodies changed. Nobody gets done
// what their role may never do.

import { mutateJson, mutateText, oddValue, spell } from '../mutate.ts'
import type { Random } from '../random.ts'
import { mustHold, type Target } from '../target.ts'
import { openWholeBroker } from '../whole-broker.ts'

type Described = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { parameters?: { name: string; in: string }[] }>>>>
}

/** Posts that change nothing. */
const READING = /\/revisions\/plan$/

export const api: Target = {
  name: 'v1',
  freshAfter: 1_500,
  async open() {
    const broker = await openWholeBroker()
    const described = (await broker.call('GET', '/v1/openapi.json', [])).json as unknown as Described
    const routes = Object.entries(described.paths)
      .filter(([path]) => path.startsWith('/v1/'))
      .flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { parameters = [] }]) => ({
          path,
          method: method.toUpperCase(),
          queries: parameters.filter((one) => one.in === 'query').map(({ name }) => name),
        })),
      )
    const asks = { tool: 'metrics', scopes: ['read'], reason: 'INC-1', durationSeconds: 60, details: {} }
    await broker.call(
      'POST',
      '/v1/requests',
      [
        ['authorization', `Bearer ${broker.bot.token}`],
        ['content-type', 'application/json'],
      ],
      JSON.stringify(asks),
    )
    const [request] = await broker.harness.rows('request')
    const ids = [
      request!.id,
      broker.grant.id,
      broker.credential.credential.id,
      broker.other.session.id,
      'bot',
      'other',
      'tickets',
    ]
    const files = { 'agents/a.yaml': 'apiVersion: hallpass/v1\nkind: Agent\n', 'k.pem': '-----BEGIN PUBLIC KEY-----' }
    const lock = { kind: 'agent', name: 'other', reason: 'x', forSeconds: 60, revokeGrants: true }
    const bodies: readonly (readonly [RegExp, object])[] = [
      [/\/requests$/, asks],
      [/\/approve$/, { hash: request!.hash, scopes: ['read'], durationSeconds: 60 }],
      [/\/decommission$/, { reason: 'x', wait: false }],
      [/\/locks$/, lock],
      [/\/locks$/, { kind: 'owner', name: 'bob@example.com', reason: 'x' }],
      [/\/tokens$/, { kind: 'verifier', subject: 'tickets', ttlSeconds: 60 }],
      [/\/rotate$/, { alg: 'ES256', compromised: false }],
      [/\/revisions/, { files, base: null }],
      [/./, { reason: 'because' }],
    ]
    const bodyFor = (random: Random, path: string) =>
      random.oneIn(6) ? random.pick(bodies)[1] : bodies.find(([of]) => of.test(path))![1]
    const roles = { ...broker.bearers, agent: broker.bot.token, operator: '' }
    type Role = keyof typeof roles

    const queryOf = (random: Random, names: readonly string[]) => {
      const values = [...ids, '0', '1', '-1', '1e3', 'true', '2026-01-01T00:00:00Z', 'alice@example.com', '', '\0', '%']
      const chosen = [...names, ...(random.oneIn(20) ? ['limit', 'x'] : [])].filter(() => random.oneIn(6))
      const text = chosen
        .map((name) => `${name}=${encodeURIComponent(mutatedOrNot(random, random.pick(values)).toWellFormed())}`)
        .join('&')
      return random.oneIn(10) ? mutateText(random, text).replaceAll('#', '') : text
    }
    const mutatedOrNot = (random: Random, text: string) => (random.oneIn(8) ? mutateText(random, text) : text)

    return {
      async feed(random, note) {
        const role = random.pick(Object.keys(roles) as Role[])
        const { path, method, queries } = random.pick(routes)
        const filled = path.replace(/\{\w+\}/g, () =>
          encodeURIComponent(mutatedOrNot(random, random.pick(ids)).toWellFormed()),
        )
        const query = queryOf(random, queries).replace(/wait=[^&]*/g, 'wait=0')
        const given = bodyFor(random, path)
        const kind = random.below(5)
        const body = spell(random, kind < 2 ? given : kind === 2 ? oddValue(random) : mutateJson(random, given))
        const headers: [string, string][] = [
          ['content-type', random.oneIn(20) ? mutateText(random, 'application/json') : 'application/json'],
        ]
        if (role !== 'operator') headers.push(['authorization', `Bearer ${roles[role]}`])
        const hasBody = method !== 'GET'
        note({ role, method, filled, query, body: hasBody ? body : null })
        let target: URL
        try {
          target = new URL(`${filled}?${query}`, 'https://hallpass.example.com')
        } catch {
          return 'no URL'
        }
        const door = role === 'operator' ? 'operator' : 'everyone'
        const before = await broker.deps.store.tree()
        const { status, text } = await broker.call(
          method,
          `${target.pathname}${target.search}`,
          headers,
          hasBody ? body : null,
          door,
        )
        const done = status >= 200 && status < 300
        if (done && method !== 'GET' && !READING.test(target.pathname))
          mustHold(
            role !== 'auditor' && role !== 'verifier' && (role !== 'publisher' || path === '/v1/revisions'),
            `${role} did ${method} ${path}`,
            text,
          )
        if (done && role === 'verifier') mustHold(false, `a verifier was answered at ${path}`, text)
        if (done && path.endsWith('/approve')) mustHold(role === 'owner', `${role} approved`, text)
        if (done && path.includes('/operator/'))
          mustHold(role === 'operator', `${role} was served the operator's`, text)
        mustHold((await broker.deps.store.tree()).size >= before.size, 'the trail shrank')
        return `${role} ${status}`
      },
      close: () => broker.close(),
    }
  },
}
