// A provider of OpenID Connect with pages for log-in and consent, which take any password:
// node provider.mjs <module of oidc-provider> <port> <file of people> <where claims are: id_token or userinfo>
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [module, port, people, where] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: 'silo',
    client_secret: 'the-secret-of-the-client',
    redirect_uris: [
      'http://testserver/board/log-in/openid/answer',
      'https://silo.example.com/silo/board/log-in/openid/answer',
    ],
  }],
  claims: {
    openid: ['sub'],
    profile: ['preferred_username', 'given_name', 'family_name', 'name', 'groups'],
  },
  conformIdTokenClaims: where === 'userinfo',
  pkce: { required: () => true },
  // Of the tests: written anew by them at any time.
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...JSON.parse(readFileSync(people, 'utf8'))[id] }),
  }),
});
provider.listen(Number(port), '127.0.0.1');
