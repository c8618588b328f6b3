//! `halctl users`, `halctl tokens` and `halctl whoami`.

use reqwest::Method;

use super::cli::actor::{TokenVerb, UserVerb};
use super::client::{Client, Query};
use super::print::Screen;
use super::print::record::{Field, Record, Tone};
use hal_base::exit::Failure;
use hal_protocol::actor::{
    ActorRequest, ActorView, CredentialState, NewToken, Role, TokenRequest, TokenView, WhoAmI,
};

/// Carries out one of the verbs of users.
pub async fn users(verb: UserVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        UserVerb::List => {
            let all = client.list::<ActorView>(&["actors"], &Query::new()).await?;
            screen.list(&all, "No users. Add one: halctl users create NAME --role operator")
        }
        UserVerb::Create { name, role, program } => {
            let body = ActorRequest { role: role.to_string(), is_program: program };
            let made = client.change::<ActorView>(Method::PUT, &["actors", &name], &body).await?.data;
            screen.one(&made)?;
            if made.tokens == 0 {
                screen.say(&format!("To be let in, {name} needs a token: halctl tokens create {name}"));
            }
            Ok(())
        }
        UserVerb::Remove { name } => {
            let gone = client.change::<ActorView>(Method::DELETE, &["actors", &name], &()).await?.data;
            screen.one(&gone)
        }
    }
}

/// Carries out one of the verbs of tokens.
pub async fn tokens(verb: TokenVerb, client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    match verb {
        TokenVerb::List => {
            let all = client.list::<TokenView>(&["tokens"], &Query::new()).await?;
            screen.list(&all, "No tokens. Make one: halctl tokens create USER")
        }
        TokenVerb::Create { user, label, expires } => {
            let body =
                TokenRequest { label, seconds: expires.map(|span| span.as_secs()).unwrap_or_default() };
            let new = client.post_with::<NewToken>(&["actors", &user, "tokens"], &body).await?.data;
            tell(&new, screen)
        }
        TokenVerb::Rotate { id } => {
            let new = client.post::<NewToken>(&["tokens", &id, "rotate"]).await?.data;
            tell(&new, screen)
        }
        TokenVerb::Revoke { ids } => revoke(&ids, client, screen).await,
    }
}

/// Revokes tokens, of whatever kind.
pub async fn revoke(ids: &[String], client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    for id in ids {
        let gone = client.change::<TokenView>(Method::DELETE, &["tokens", id], &()).await?.data;
        screen.next(&gone)?;
    }
    Ok(())
}

/// Who the supervisor says we are.
pub async fn whoami(client: &Client, screen: &mut Screen) -> Result<(), Failure> {
    screen.one(&client.get::<WhoAmI>(&["whoami"], &Query::new()).await?.data)
}

fn tell(new: &NewToken, screen: &mut Screen) -> Result<(), Failure> {
    screen.one(new)?;
    let TokenView { actor, role, .. } = &new.about;
    screen.say(&match role {
        Role::Agent => format!(
            "It is not shown again. Put it into a file on {actor} that only hal-agent can read, and name that as \
             auth_token_file in its configuration."
        ),
        _ => "It is not shown again. On their machine: halctl login --supervisor-url URL".to_owned(),
    });
    Ok(())
}

impl Record for ActorView {
    fn fields(&self) -> Vec<Field> {
        let tone = if self.role == Role::Admin { Tone::Attention } else { Tone::Plain };
        vec![
            Field::new("name", &self.name),
            Field::new("role", self.role).tone(tone).weight(90),
            Field::new("kind", &self.kind).weight(60),
            Field::new("tokens", self.tokens).weight(70),
            Field::new("created_by", &self.created_by).weight(40),
            Field::moment("created_at", self.created_at).weight(30),
        ]
    }
}

impl Record for TokenView {
    fn fields(&self) -> Vec<Field> {
        let tone = match self.state {
            CredentialState::Active => Tone::Good,
            CredentialState::Expired | CredentialState::Revoked => Tone::Quiet,
        };
        vec![
            Field::new("id", &self.id),
            Field::new("user", &self.actor).weight(90),
            Field::new("role", self.role).weight(70),
            Field::new("kind", &self.kind).weight(45),
            Field::new("state", self.state.as_str()).tone(tone).weight(85),
            Field::new("label", &self.label).weight(60),
            Field::moment("used_at", self.used_at).weight(65),
            Field::new("used_from", &self.used_from).weight(50),
            Field::moment("expires_at", self.expires_at).weight(55),
            Field::moment("created_at", self.created_at).wide(),
            Field::new("created_by", &self.created_by).wide(),
            Field::new("revoked_by", &self.revoked_by).wide(),
        ]
    }
}

impl Record for NewToken {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("token", &self.token),
            Field::new("id", &self.about.id),
            Field::new("user", &self.about.actor),
            Field::new("role", self.about.role),
            Field::moment("expires_at", self.about.expires_at),
        ]
    }
}

impl Record for WhoAmI {
    fn fields(&self) -> Vec<Field> {
        vec![
            Field::new("name", &self.name),
            Field::new("role", self.role),
            Field::new("credential", &self.credential),
            Field::new("from", &self.from),
            Field::moment("expires_at", self.expires_at),
        ]
    }
}
