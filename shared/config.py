"""All settings, read once by the composition root from the environment and `.env`, passed on as plain values."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import WrongSetting


class Settings(BaseSettings):
    """The configuration; every field is the environment variable `CARTERA_` + its name."""

    model_config = SettingsConfigDict(env_prefix="CARTERA_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path = Field(Path("data"), description="Folder of the embedded files.")
    database_url: SecretStr | None = Field(
        None, description="postgresql://user:pass@host/db; unset: SQLite files in the data folder."
    )
    log_url: str | None = Field(
        None, description="kafka://host:port[,host:port]; unset: a SQLite file in the data folder."
    )
    topic_prefix: str = Field("cartera.", description="Before every topic name.")
    clock: Literal["system", "events"] = Field(
        "system", description="events: the time is that of the latest event (replays, tests)."
    )
    write_key: SecretStr | None = Field(
        None, description="Fixed key that may send events; unset: created at first start."
    )
    admin_key: SecretStr | None = Field(None, description="Fixed key that may do all; unset: created at first start.")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:pass@host:port or smtps://…; unset: .eml files under DATA_DIR/outbox."
    )
    sms_url: SecretStr | None = Field(
        None, description="https://user:pass@host/path to which SMS are posted as JSON; unset: files, or no SMS."
    )
    webhook_url: SecretStr | None = Field(
        None, description="https://… to which messages of the channel webhook are posted; unset: files, or none."
    )
    webhook_secret: SecretStr | None = Field(
        None, description="whsec_ and 24 to 64 bytes in base64: signs what goes to CARTERA_WEBHOOK_URL."
    )
    mail_from: str = Field("Cartera <cartera@localhost.localdomain>", description="Sender of e-mails.")
    public_url: str | None = Field(None, description="Address used in links; unset: the served address.")
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="Company currency (ISO 4217).")
    region: str | None = Field(
        None, pattern="^[A-Z]{2}$", description="Country (ISO 3166) of phone numbers that are written without +."
    )
    dead_letter_retention: str = Field(
        "30d", pattern=r"^\d{1,5}[mhd]$", description="How long dead letters are kept: 12h, 30d; 0d keeps them."
    )
    mapping_file: Path | None = Field(
        None, description="YAML file with the meanings of more track events of Segment and RudderStack libraries."
    )
    rate_limit: float | None = Field(
        None, gt=0, description="Events that one key may send in a second, in each process; unset: no limit."
    )
    partitions: int = Field(1, ge=1, le=1024, description="Partitions of the topics that the embedded log creates.")

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql:// (or be unset for SQLite files)")
        return url

    @field_validator("log_url")
    @classmethod
    def _log(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("kafka://"):
            raise ValueError("must begin with kafka:// (or be unset for a SQLite file)")
        return url

    @property
    def dead_letters_kept(self) -> timedelta | None:
        """How long dead letters are kept, None for good."""
        number, unit = int(self.dead_letter_retention[:-1]), self.dead_letter_retention[-1]
        return timedelta(minutes=number * {"m": 1, "h": 60, "d": 1440}[unit]) if number else None

    @property
    def embedded(self) -> bool:
        """Whether everything lies in files of the data folder."""
        return self.database_url is None and self.log_url is None


def read_settings(**given: object) -> Settings:
    """The settings; `given` (from the command line) goes before the environment. Raises WrongSetting."""
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = "CARTERA_" + "_".join(str(part) for part in first["loc"]).upper()
        raise WrongSetting(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error
