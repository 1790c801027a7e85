"""The conversations of a person, in one SQLite file.

The data model has three tables; ``migrations.py`` defines their columns, ``records.py`` their rows.

``conversation``
    One row for each conversation: its title, and what the person chose for it (model, system
    prompt, moderation, prompt format, sampling, overflow, adapters).

``message``
    A conversation is a tree of messages. ``parent_id`` is the message before this one; the first
    message of a conversation has none. A regenerated answer and an edited message are siblings of
    the original, so nothing is overwritten.

``unsent``
    What the person has written and not sent: drafts, edits, and messages that wait for the end of
    an answer. ``client`` names the client whose words they are (``clients.py``), so two clients
    never overwrite each other's. A client that opens a conversation takes over the words of
    clients that no longer run. Long pastes are rows of ``unsent_paste``.

Two columns of ``conversation`` point into its tree:

``leaf_id``
    The last message of the branch that is shown. The branch is read by following ``parent_id``
    from there to the root.
``context_start``
    The first message that the model still sees, once the oldest turns no longer fit. Pinned turns
    before it stay in the context as well.

A summary of the turns that no longer fit is stored in the first message that the model still sees:
every branch with that message has the same turns above it. So on a branch, the model sees the turns
from the last message on that is ``context_start`` or has a summary.

An answer is a row from its first token on. While it streams, ``state`` is ``streaming``, ``writer``
names the client that generates it (``clients.py``), and its text and token ids are written several
times a second. Afterwards ``state`` says how it ended, and ``provenance`` how it was made. When the
file is opened, the streaming answers of clients that no longer run become ``interrupted``.

``message_words`` is the index of the words of all messages (``search_index.py``). What it does not
have yet is noted in ``search_pending`` by triggers.

Deleting sets ``deleted_at``, so it can be undone. A deleted message hides everything below it
(``visible.py``). ``organizing.py`` removes deleted conversations for good.

``tags``, ``pinned`` and ``archived`` are how the person has organized the conversations. ``name``
is what they call the branch that begins with a message.

The modules: ``database.py`` opens the file and runs transactions, ``conversations.py`` queries
conversations and messages, ``listing.py`` reads lists of them quickly, ``branches.py`` the branches
of one, ``organizing.py`` tags, pins, archives and removes them, ``answers.py`` writes answers while
they stream, ``unsent.py`` stores what is not sent, ``trees.py`` reads and adds whole conversations,
``backups.py`` writes and restores backups, ``search.py`` finds what a person types
(``search_query.py``) by its words (``words.py``), ``errors.py`` lists what can go wrong.
"""
