"""The service, which waits for its provider as long as a test takes: `-m tests.oidc.unhurried serve …`."""

from board_app.openid import calls
from manage import main
from tests.waiting import PATIENCE_SECONDS

if __name__ == "__main__":
    calls.CALL_SECONDS = 2 * PATIENCE_SECONDS
    main()
