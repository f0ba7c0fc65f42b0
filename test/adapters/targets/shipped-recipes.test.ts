// The recipes of services that cannot be run here, each against a tool that answers by its vendor's published description.

import { describe, expect, test } from 'vitest'
import { recipeTarget } from '../../../src/adapters/targets/recipe.ts'
import { shippedRecipes } from '../../../src/adapters/targets/shipped-recipes.ts'
import type { Recipe } from '../../../src/core/recipe.ts'
import { Secret } from '../../../src/core/secret.ts'
import { TargetFailure } from '../../../src/core/target.ts'
import { BASE } from '../../support/described-tool.ts'
import { datadog } from '../../support/vendors/datadog.ts'
import { grafana } from '../../support/vendors/grafana.ts'
import { sentry } from '../../support/vendors/sentry.ts'
import type { Vendor } from '../../support/vendors/vendor.ts'
import { zendesk } from '../../support/vendors/zendesk.ts'

const NAME = 'hp-0123456789abcdef'
const signal = () => AbortSignal.timeout(5000)

function recipeNamed(name: string): Recipe {
  const recipe = shippedRecipes().get(name)
  if (recipe === undefined) throw new Error(`no recipe ${name} is shipped`)
  return recipe
}

const start = (name: string, vendor: Vendor, admin = vendor.admin) => {
  const { call, values } = vendor
  return recipeTarget({ url: BASE, secret: async () => new Secret(admin), call, recipe: recipeNamed(name), values })
}

describe.each([
  ['grafana', grafana],
  ['datadog', datadog],
  ['zendesk', zendesk],
  ['sentry', sentry],
] as const)('the recipe %s', (name, begin) => {
  const setUp = () => {
    const vendor = begin()
    const target = start(name, vendor)
    const rights = vendor.many ? vendor.rights : [vendor.rights[0]]
    const create = (wanted = rights, account = NAME) =>
      target.create({ name: account, rights: wanted, label: 'of a test', until: Date.now() + 600_000 }, signal())
    const look = (account = NAME) => target.look({ name: account }, signal())
    return { vendor, target, rights, create, look }
  }

  test('makes an account with exactly its rights, which its secret has and no more (P2)', async () => {
    const { vendor, target, rights, create, look } = setUp()
    const { secret, external } = await create()
    expect(vendor.allowed(secret.reveal())).toEqual(rights)
    expect(await look()).toEqual({ name: NAME, external, active: true, rights })
    if (target.capabilities.probes) expect(await target.probe(secret, signal())).toBe('alive')
    expect(await look('hp-of-another')).toBeNull()
  })

  test('makes one account when asked twice, and its latest secret alone works (S16)', async () => {
    const { vendor, create } = setUp()
    const first = await create()
    const second = await create()
    expect(second.external).toBe(first.external)
    expect(vendor.count(NAME)).toBe(1)
    expect(vendor.allowed(second.secret.reveal())).not.toBeNull()
    expect(vendor.allowed(first.secret.reveal())).toBeNull()
  })

  test('takes an account away, reads back that it is gone, and does so again (P5, S15)', async () => {
    const { vendor, target, create, look } = setUp()
    const { secret } = await create()
    await target.remove({ name: NAME }, signal())
    expect(vendor.allowed(secret.reveal())).toBeNull()
    expect((await look())?.active ?? false).toBe(false)
    if (target.capabilities.probes) expect(await target.probe(secret, signal())).toBe('dead')
    await target.remove({ name: NAME }, signal())
  })

  test('lists its own accounts and others, each once, past a page, or says that it cannot (P10)', async () => {
    const { vendor, target, create, look } = setUp()
    await create()
    for (let number = 0; number < 120; number += 1) vendor.addByHand(`mallory-${number}`)
    if (name === 'sentry') {
      await expect(target.list(1000, signal())).rejects.toMatchObject({ why: 'refused' })
      await expect(look()).rejects.toMatchObject({ why: 'refused' })
      return
    }
    const all = await target.list(1000, signal())
    expect(all.find((one) => one.name === NAME)).toEqual(await look())
    expect(new Set(all.map(({ external }) => external)).size).toBe(all.length)
    expect(all.length).toBe(121)
    await expect(target.list(120, signal())).rejects.toMatchObject({ why: 'refused' })
  })

  test('believes no removal that was answered and not carried out (S15)', async () => {
    const { vendor, target, create } = setUp()
    const { secret } = await create()
    vendor.lie(true)
    await expect(target.remove({ name: NAME }, signal())).rejects.toMatchObject({ why: 'refused', mayHaveActed: true })
    expect(vendor.allowed(secret.reveal())).not.toBeNull()
  })

  test('refuses what is no right before anything is said, and a wrong admin before anything is done', async () => {
    const { vendor, target, rights, create } = setUp()
    for (const right of ['', 'no such/right', `${rights[0]}\n`]) {
      expect(() => target.canonical([right])).toThrow(TargetFailure)
      await expect(create([right])).rejects.toMatchObject({ why: 'refused', mayHaveActed: false })
    }
    expect(vendor.heard).toEqual([])
    const stranger = start(name, vendor, 'mallory:wrong')
    const wanted = { name: NAME, rights, label: '', until: Date.now() + 60_000 }
    await expect(stranger.create(wanted, signal())).rejects.toMatchObject({ why: 'refused', mayHaveActed: false })
    expect(vendor.count(NAME)).toBe(0)
  })
})

describe('the recipe grafana', () => {
  test('narrows and widens an account in place, with the same secret (P3)', async () => {
    const vendor = grafana()
    const target = start('grafana', vendor)
    const wanted = { name: NAME, rights: ['Editor'], label: '', until: Date.now() + 60_000 }
    const { secret } = await target.create(wanted, signal())
    for (const rights of [['Viewer'], [], ['Admin']]) {
      await target.setRights({ name: NAME }, rights, signal())
      expect(vendor.allowed(secret.reveal())).toEqual(rights)
    }
    vendor.lie(true)
    await expect(target.setRights({ name: NAME }, ['Viewer'], signal())).rejects.toMatchObject({ mayHaveActed: true })
  })

  test('takes the highest of several roles, for it includes the others', () => {
    const target = start('grafana', grafana())
    expect(target.canonical(['Viewer', 'Admin', 'Editor'])).toEqual(['Admin'])
  })
})
