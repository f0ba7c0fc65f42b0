// What the recipe of GitHub App installation tokens must do, whoever answers: the app's key signs, and nothing but the token
// itself can take the token away.

import { Buffer } from 'node:buffer'
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { recipeTarget } from '../../src/adapters/targets/recipe.ts'
import { shippedRecipes } from '../../src/adapters/targets/shipped-recipes.ts'
import { Secret } from '../../src/core/secret.ts'
import { BASE } from './described-tool.ts'
import { github, type Minted, type Serves } from './vendors/github.ts'

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
// As GitHub hands it out: PKCS #1.
const PEM = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
const signal = () => AbortSignal.timeout(5000)
const RIGHTS = ['issues:write', 'repository/api', 'repository/web']

function setUpOn(serves?: Serves, skews?: (asked: Minted) => Minted, secret = Buffer.from(PEM).toString('base64')) {
  const service = github('Iv1.app', publicKey, ['api', 'web'], skews, serves)
  const recipe = shippedRecipes().get('github-app')
  if (recipe === undefined) throw new Error('it is not shipped')
  const values = { app: 'Iv1.app', installation: '42' }
  const target = recipeTarget({ url: BASE, secret: async () => new Secret(secret), call: service.call, recipe, values })
  const create = (rights: readonly string[]) =>
    target.create({ name: 'hp-1', rights, label: '', until: Date.now() + 600_000 }, signal())
  return { service, target, create }
}

export function describeGithubApp(by: string, serves?: Serves): void {
  const setUp = (skews?: (asked: Minted) => Minted, secret?: string) => setUpOn(serves, skews, secret)

  describe(`the recipe github-app, ${by}`, () => {
    test('mints a token for just these repositories and permissions (P2)', async () => {
      const { service, target, create } = setUp()
      const { secret } = await create(RIGHTS)
      expect(service.tokens.get(secret.reveal())).toEqual({
        repositories: ['api', 'web'],
        permissions: { issues: 'write', metadata: 'read' },
      })
      expect(await target.probe(secret, signal())).toBe('alive')
    })

    test('takes a token away with the token itself, and again (P5, S15)', async () => {
      const { service, target, create } = setUp()
      const { secret } = await create(RIGHTS)
      const other = await create(RIGHTS)
      await target.remove({ name: 'hp-1', secret }, signal())
      expect([...service.tokens.keys()]).toEqual([other.secret.reveal()])
      expect(await target.probe(secret, signal())).toBe('dead')
      await target.remove({ name: 'hp-1', secret }, signal())
      await target.remove({ name: 'hp-never-known' }, signal())
      expect(await target.look({ name: 'hp-1' }, signal())).toBeNull()
    })

    test.each([
      ['more repositories', ({ permissions }: Minted) => ({ permissions, repositories: ['api', 'web', 'secrets'] })],
      ['another permission', ({ repositories }: Minted) => ({ repositories, permissions: { contents: 'write' } })],
      [
        'more than to read about them',
        (asked: Minted) => ({ ...asked, permissions: { issues: 'write', metadata: 'write' } }),
      ],
    ])('hands out no token that has %s (P2)', async (_, skews) => {
      const { create } = setUp(skews)
      await expect(create(RIGHTS)).rejects.toMatchObject({ why: 'refused', mayHaveActed: true })
    })

    test('asks for no token without repositories, which would reach them all', async () => {
      const { service, target, create } = setUp()
      for (const rights of [['issues:write'], ['repository/api'], [], ['repository/../web', 'issues:write']]) {
        expect(() => target.canonical(rights)).toThrow()
        await expect(create(rights)).rejects.toMatchObject({ why: 'refused', mayHaveActed: false })
      }
      expect(service.heard).toEqual([])
      expect(target.canonical(['repository/web', 'issues:read', 'issues:write'])).toEqual([
        'issues:write',
        'repository/web',
      ])
    })

    test('says of a secret that is no key only that it is none (S5)', async () => {
      const { create } = setUp(undefined, 'c2VjcmV0IG9mIGEgdGVzdA==')
      const thrown: unknown = await create(RIGHTS).catch((error: unknown) => error)
      expect(thrown).toMatchObject({ why: 'refused', mayHaveActed: false })
      expect(String(thrown)).not.toMatch(/c2Vj|secret of a test/)
    })
  })
}
